//! Why the kernel was entered.

use isol_trace_common::cause::Cause;

use super::ids::Address;

/// Why the kernel was entered, with what belongs to that cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CauseDetail {
    /// A system call.
    Syscall {
        /// Its number; `None` where the kernel hid it (`int 0x80` across a task switch).
        number: Option<u32>,
        /// Its six argument registers.
        args: Option<[u64; 6]>,
    },
    /// A system call by the 32-bit gate (`int 0x80`), with the numbers of that table. Its
    /// arguments are in other registers and are not recorded.
    CompatSyscall {
        /// Its number.
        number: u32,
    },
    /// A page fault.
    PageFault {
        /// The address that faulted.
        address: Address,
        /// A write, rather than a read or an instruction fetch.
        write: bool,
        /// Taken in user mode.
        user: bool,
        /// An instruction fetch.
        fetch: bool,
        /// The page was there and its rights forbade the access (such as copy-on-write).
        protection: bool,
    },
    /// Another exception, by trap number; `None` where the kernel's structure could not be read.
    Exception {
        /// x86 trap number.
        trap: Option<u32>,
    },
    /// A device's interrupt.
    DeviceIrq {
        /// The Linux interrupt number.
        irq: u32,
        /// The handler function.
        handler: Option<Address>,
    },
    /// A non-maskable interrupt, with the handler that claimed it.
    Nmi {
        /// The handler function.
        handler: Option<Address>,
    },
    /// A vector, a machine check, or unknown: nothing more to tell.
    Plain(Cause),
}

impl CauseDetail {
    /// The word of this cause.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Syscall { .. } | Self::CompatSyscall { .. } => Cause::Syscall,
            Self::PageFault { .. } => Cause::PageFault,
            Self::Exception { .. } => Cause::Exception,
            Self::DeviceIrq { .. } => Cause::DeviceIrq,
            Self::Nmi { .. } => Cause::Nmi,
            Self::Plain(cause) => *cause,
        }
    }
}
