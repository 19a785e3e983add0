//! What was asked of a watched CPU: the record of the sender.
//!
//! It is written on the sender's CPU before the receiver can see what it is about, so a reader
//! that empties the receivers' rings first and the senders' rings after them has the sender of
//! everything that it has seen arrive.

use crate::cause::words;

words! {
    /// How something was asked of a watched CPU.
    Via {
        /// A cross-call was queued there.
        CrossCall = 1, "cross_call";
        /// A reschedule interrupt was sent there.
        Reschedule = 2, "reschedule";
        /// A work item was queued there.
        Work = 3, "work";
        /// A timer was armed there.
        Timer = 4, "timer";
        /// A high-resolution timer was armed there.
        Hrtimer = 5, "hrtimer";
        /// A task that had last run there was woken; its thread is the key.
        Wake = 6, "wake";
        /// A perf event of its own has a timer there. Never sent: the activity says whose it is
        /// ([`crate::record::ACTIVITY_PERF_EVENT`]).
        PerfEvent = 7, "perf_event";
        /// A CPU raised the interrupt for an `irq_work` on itself; the moment is the key.
        IrqWork = 8, "irq_work";
        /// A new task begins there; its thread is the key.
        Fork = 9, "fork";
        /// A task was moved there from another CPU; its thread is the key.
        Move = 10, "move";
        /// A timer that was armed there was cancelled, or taken to another CPU: when it was due is the key.
        Cancel = 11, "cancel";
    }
}

/// Frames of the sender's kernel stack that are kept, innermost first.
pub const STACK_FRAMES: usize = 32;

/// An interrupt handler or a softirq asked for it, not the task that was current.
pub const SENT_BY_INTERRUPT: u8 = 1 << 0;
/// Whether it was an interrupt handler cannot be known on this kernel.
pub const SENDER_UNSURE: u8 = 1 << 1;

/// Whether it was queued depends on a condition that the sender checks per CPU.
pub const SENT_CONDITIONALLY: u8 = 1 << 2;

/// Something that was asked of a watched CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
pub struct Send {
    /// [`crate::record::Kind::Send`].
    pub kind: u8,
    /// A [`Via`] number.
    pub via: u8,
    /// `SENT_…` bits.
    pub flags: u8,
    /// Frames of [`Send::stack`]; 0 where none was taken.
    pub frames: u8,
    /// The watched CPU.
    pub target: u32,
    /// `CLOCK_MONOTONIC` when it was asked for, nanoseconds.
    pub at_ns: u64,
    /// The address that the receiver will see too: of the csd, the work item or the timer; of a
    /// task that is woken, made or moved the thread's number; of a timer that is cancelled when it was due,
    /// `CLOCK_MONOTONIC`. 0 for reschedules and `irq_work`.
    pub key: u64,
    /// The function that will run there; 0 where there is none.
    pub function: u64,
    /// Where in the kernel it was asked for; 0 where the tracepoint does not say.
    pub callsite: u64,
    /// The sender's CPU.
    pub cpu: u32,
    /// The thread that was current.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// Zero, for later.
    pub reserved: u32,
    /// Its name.
    pub comm: [u8; 16],
    /// The kernel stack; only the first [`Send::frames`] mean something. On a watched CPU only of calls to another one and of `irq_work`.
    pub stack: [u64; STACK_FRAMES],
}

#[cfg(test)]
mod tests {
    use core::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<Send>(), 72 + 8 * STACK_FRAMES);
        assert_eq!(offset_of!(Send, target), 4);
        assert_eq!(offset_of!(Send, at_ns), 8);
        assert_eq!(offset_of!(Send, key), 16);
        assert_eq!(offset_of!(Send, function), 24);
        assert_eq!(offset_of!(Send, callsite), 32);
        assert_eq!(offset_of!(Send, cpu), 40);
        assert_eq!(offset_of!(Send, tid), 44);
        assert_eq!(offset_of!(Send, pid), 48);
        assert_eq!(offset_of!(Send, comm), 56);
        assert_eq!(offset_of!(Send, stack), 72);
    }
}
