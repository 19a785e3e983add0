//! What only one architecture has, behind one interface: the items that are exported here.
//!
//! An architecture is a file of this folder with these items, and the lines below that choose it. The kernel side has a
//! room of the same name (`isol-trace-ebpf/src/arch`), and so has `xtask`. What differs only in where a field lies is
//! asked of the running kernel's types; here is what it is called.
//!
//! Nothing here imports another room. `docs/adding-an-architecture.md` goes through all of it, and a test
//! (`xtask/tests/architectures.rs`) finds words of an architecture elsewhere.

mod aarch64;
mod x86_64;

// The architecture whose kernel is traced. Built for another one, the tracer takes this as well, as the kernel side does
// (`isol-trace-ebpf/build.rs`): what that kernel lacks is absent, and the verdicts say so.
use x86_64 as traced;

pub(crate) use traced::{
    EXCEPTIONS, INTERRUPT_ENTRIES, MACHINE, REGISTERS, RESCHEDULE, SYSCALL_GATE_32, TRAP_NUMBER,
    UnwindCache, Unwinder, VECTORS, exception_name, page_fault, preempt_count, unwind_registers,
};

/// The fields of `pt_regs`, the registers with which user mode was left, by the names that its kernel gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    /// The instruction pointer.
    pub(crate) ip: &'static str,
    /// The stack pointer.
    pub(crate) sp: &'static str,
    /// The frame pointer, in programs that have one.
    pub(crate) frame: &'static str,
    /// The flags.
    pub(crate) flags: &'static str,
    /// The number of the system call, or -1.
    pub(crate) number: &'static str,
    /// What a system call returns.
    pub(crate) result: &'static str,
    /// The arguments of a system call, in order.
    pub(crate) args: [&'static str; 6],
    /// Two more, by which the kernel side tells that user mode was left by the instruction for system calls.
    pub(crate) syscall: [&'static str; 2],
}

/// A tracepoint, and the program of ours that takes it where the kernel's types do not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tracepoint {
    /// Its name, which the program has that takes it by type.
    pub(crate) name: &'static str,
    /// The other program.
    pub(crate) raw: &'static str,
}

/// [`Tracepoint`]s by their names.
macro_rules! tracepoints {
    ($($name:literal),* $(,)?) => {
        &[$($crate::arch::Tracepoint { name: $name, raw: concat!("raw_", $name) }),*]
    };
}
use tracepoints;

/// A function that does what a newer kernel has a tracepoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StandIn {
    /// The function, which is its program's name as well.
    pub(crate) function: &'static str,
    /// The tracepoint of newer kernels.
    pub(crate) tracepoint: &'static str,
}

/// What the code of a page fault says.
#[expect(
    clippy::struct_excessive_bools,
    reason = "bits of a code, of which any may be set"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageFault {
    /// A write, rather than a read or an instruction fetch.
    pub(crate) write: bool,
    /// Taken in user mode.
    pub(crate) user: bool,
    /// An instruction fetch.
    pub(crate) fetch: bool,
    /// The page was there and its rights forbade the access.
    pub(crate) protection: bool,
}

/// A variable that each CPU has for itself, or a field of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PerCpu {
    /// Its symbol.
    pub(crate) symbol: &'static str,
    /// The field, in bytes from there.
    pub(crate) offset: u32,
}

/// An architecture whose system calls have names here, of which some have no tracer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86, 64 bit.
    X86_64,
    /// arm, 64 bit.
    Aarch64,
}

impl Arch {
    /// The architecture that this program was built for; `None` where it is another one.
    pub const NATIVE: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };

    /// The name of a system call; `None` for a number that the table does not have,
    /// such as one of a newer kernel.
    #[must_use]
    pub fn syscall_name(self, number: u32) -> Option<&'static str> {
        let number = usize::try_from(number).ok()?;
        let name = match self {
            Self::X86_64 => x86_64::syscall_name(number),
            Self::Aarch64 => aarch64::syscall_name(number),
        };
        name.map(plain)
    }

    /// The name of a system call by the 32-bit gate; `None` for a number that the table does
    /// not have, and where there is no such gate.
    #[must_use]
    pub fn compat_syscall_name(self, number: u32) -> Option<&'static str> {
        let number = usize::try_from(number).ok()?;
        let name = match self {
            Self::X86_64 => x86_64::compat_syscall_name(number),
            Self::Aarch64 => None,
        };
        name.map(plain)
    }
}

/// The name without what makes a word of Rust, `break`, an identifier.
fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_its_own_numbers() {
        let (x86, arm) = (Arch::X86_64, Arch::Aarch64);
        assert_eq!(x86.syscall_name(0), Some("read"));
        assert_eq!(x86.syscall_name(39), Some("getpid"));
        assert_eq!(x86.syscall_name(157), Some("prctl"));
        assert_eq!(x86.syscall_name(231), Some("exit_group"));
        assert_eq!(arm.syscall_name(172), Some("getpid"));
        assert_eq!(arm.syscall_name(63), Some("read"));
    }

    #[test]
    fn the_32_bit_gate_has_numbers_of_its_own() {
        let name = |number| Arch::X86_64.compat_syscall_name(number);
        assert_eq!(name(64), Some("getppid"));
        assert_eq!(name(17), Some("break"));
        assert_eq!(name(100_000), None);
        assert_eq!(Arch::Aarch64.compat_syscall_name(64), None);
    }

    #[test]
    fn a_number_beyond_the_table_has_no_name() {
        assert_eq!(Arch::X86_64.syscall_name(100_000), None);
        assert_eq!(Arch::X86_64.syscall_name(u32::MAX), None);
    }

    #[test]
    fn names_stand_at_the_processors_numbers() {
        assert_eq!(exception_name(0), Some("divide_error"));
        assert_eq!(exception_name(3), Some("breakpoint"));
        assert_eq!(exception_name(6), Some("invalid_opcode"));
        assert_eq!(exception_name(13), Some("general_protection"));
        assert_eq!(exception_name(19), Some("simd_fpu"));
        assert_eq!(exception_name(22), None);
        assert_eq!(exception_name(u32::MAX), None);
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = (0..64).filter_map(exception_name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn each_bit_of_a_page_fault_has_its_meaning() {
        let bits = |code| {
            let fault = page_fault(code);
            [fault.protection, fault.write, fault.user, fault.fetch]
        };
        assert_eq!(bits(0), [false; 4]);
        assert_eq!(bits(1 << 0), [true, false, false, false]);
        assert_eq!(bits(1 << 1), [false, true, false, false]);
        assert_eq!(bits(1 << 2), [false, false, true, false]);
        assert_eq!(bits(1 << 4), [false, false, false, true]);
    }

    #[test]
    fn the_preemption_count_is_a_field_where_the_kernel_has_the_structure() {
        let offset = |structure: &str, _: &str| (structure == "pcpu_hot").then_some(8);
        assert_eq!(preempt_count(offset).offset, 8);
        assert_eq!(preempt_count(offset).symbol, "pcpu_hot");
        assert_eq!(preempt_count(|_, _| None).symbol, "__preempt_count");
    }
}
