//! What a ring carries from a watched CPU to the reader.
//!
//! Every record is a multiple of eight bytes, without padding, and starts with
//! its [`Kind`] in one byte. An entry comes in one of three lengths, because the
//! ring's reservations have constant sizes and a plain system call is by far the
//! most frequent entry: see [`Kind`].

use crate::cause::words;

words! {
    /// The first byte of every record: what follows.
    Kind {
        /// An [`Entry`] alone.
        Entry = 1, "entry";
        /// An [`Entry`] and the six system-call arguments.
        EntrySyscall = 2, "entry_syscall";
        /// A [`FullEntry`] with room for [`FEW_ACTIVITIES`] activities.
        EntryFew = 3, "entry_few";
        /// A [`FullEntry`] with room for [`MAX_ACTIVITIES`] activities.
        EntryMany = 4, "entry_many";
        /// A [`Task`]: a thread's name, sent before the first entry that needs it, or that the thread provokes.
        Task = 5, "task";
        /// A [`Back`]: a task that another one had replaced is in user mode again.
        Back = 6, "back";
        /// A [`crate::send::Send`]: something was asked of a watched CPU.
        Send = 7, "send";
        /// A [`crate::user_stack::UserStack`]: where that sender was in user mode.
        UserStack = 8, "user_stack";
        /// A [`Moved`]: a task went to or from a watched CPU.
        Moved = 9, "moved";
        /// A [`crate::kill::Kill`]: a signal that ends a task, or that strict mode raised.
        Kill = 10, "kill";
        /// A [`Kin`]: whose a task is that was made or woken on a watched CPU, or moved there.
        Kin = 11, "kin";
    }
}

words! {
    /// How an entry ended.
    End {
        /// The task that left user mode returned to it.
        Return = 1, "return";
        /// Another task returned to user mode first.
        Switched = 2, "switched";
        /// The task died inside the entry.
        Exited = 3, "exited";
        /// The task slept inside the entry and then returned.
        Blocked = 4, "blocked";
    }
}

/// Activities that [`Kind::EntryFew`] has room for.
pub const FEW_ACTIVITIES: usize = 4;
/// Activities that one entry can list; more are counted in [`Entry::dropped_activities`]. A power of two.
pub const MAX_ACTIVITIES: usize = 16;

/// The entry fell inside an isolated section.
pub const FLAG_SECTION: u8 = 1 << 0;
/// The system call came through int 0x80 or another path that hides its number at entry.
pub const FLAG_LATE_SYSCALL: u8 = 1 << 1;
/// The end of the entry was not seen (`vectors` detection): [`Entry::duration_ns`] means nothing.
pub const FLAG_NO_DURATION: u8 = 1 << 2;

/// One kernel entry, from user mode back to user mode.
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
pub struct Entry {
    /// A [`Kind`] number.
    pub kind: u8,
    /// A [`crate::cause::Cause`] number.
    pub cause: u8,
    /// An [`End`] number.
    pub end: u8,
    /// `FLAG_…` bits.
    pub flags: u8,
    /// Thread that left user mode.
    pub tid: u32,
    /// `CLOCK_MONOTONIC` when user mode was left, nanoseconds.
    pub opened_ns: u64,
    /// From then to the end, nanoseconds.
    pub duration_ns: u64,
    /// The user instruction pointer when user mode was left.
    pub ip: u64,
    /// `syscall`: its number. `exception`: the trap number. `device_irq`: the interrupt number.
    /// `page_fault`: the error code. Other causes: 0.
    pub number: u32,
    /// Activities listed.
    pub activities: u8,
    /// Activities that the list had no room for; 255 means that many or more.
    pub dropped_activities: u8,
    /// Zero, for later.
    pub reserved: u16,
    /// `page_fault`: the address. `device_irq` and `nmi`: the handler's address. Vectors: when the
    /// CPU had last gone to user mode, `CLOCK_MONOTONIC`; 0 where that was before the account. Other causes: 0.
    pub subject: u64,
}

/// One thing the kernel did inside an entry.
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
pub struct ActivityRecord {
    /// A [`crate::activity::Activity`] number.
    pub kind: u8,
    /// `ACTIVITY_…` bits.
    pub flags: u8,
    /// Zero, for later.
    pub reserved: u16,
    /// `vector`: a [`crate::cause::Cause`] number. `irq`: the interrupt number. `softirq`: its number.
    /// `switch`: the thread that ran. `signal`: its number. `tlb_flush`: the reason. `tick`: the dependency bits.
    /// `hrtimer`: see [`ACTIVITY_PERF_EVENT`].
    pub number: u32,
    /// `switch`: the 16 bytes of the thread's name. Otherwise the first word is the
    /// address of the function, handler or fault (0 where there is none), the second
    /// is kind-specific. `tlb_flush`: pages. `csd`, `work`, `timer` and `hrtimer`: the address of
    /// the thing itself, by which its sender is found. `vector`: when it began, `irq_work`: when its interrupt was
    /// raised, `CLOCK_MONOTONIC`.
    pub subject: [u64; 2],
    /// Time of this activity without what nested in it, nanoseconds; see [`ACTIVITY_TIMED`].
    pub net_ns: u64,
}

/// [`ActivityRecord::net_ns`] was measured: both ends were seen.
pub const ACTIVITY_TIMED: u8 = 1 << 0;
/// This activity *is* the cause of its entry; it is kept for its net time.
pub const ACTIVITY_IS_CAUSE: u8 = 1 << 1;
/// A timer of a perf event: [`ActivityRecord::number`] is the thread that owns the event; 0 where nobody
/// does any more, or the kernel itself.
pub const ACTIVITY_PERF_EVENT: u8 = 1 << 2;

/// An entry with everything: what the state of a CPU holds, and what the two long kinds carry.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct FullEntry<const N: usize> {
    /// The entry.
    pub entry: Entry,
    /// The six system-call arguments; of another entry where the cause is not `syscall`.
    pub args: [u64; 6],
    /// Time that the CPU idled inside the entry, nanoseconds.
    pub idle_ns: u64,
    /// The first [`Entry::activities`] are valid.
    pub activities: [ActivityRecord; N],
}

/// A thread's name, sent ahead of its entries.
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
pub struct Task {
    /// [`Kind::Task`].
    pub kind: u8,
    /// Zero, for later.
    pub reserved: [u8; 3],
    /// The thread.
    pub tid: u32,
    /// Its process (thread-group leader).
    pub pid: u32,
    /// Zero, for later.
    pub reserved_tail: u32,
    /// The thread's name, NUL-terminated unless it fills the field.
    pub comm: [u8; 16],
}

/// A task whose entry ended as [`End::Switched`] is back in user mode.
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
pub struct Back {
    /// [`Kind::Back`].
    pub kind: u8,
    /// Zero, for later.
    pub reserved: [u8; 3],
    /// The thread that is back.
    pub tid: u32,
    /// The CPU whose entry it was; with [`Back::opened_ns`] the entry's identity.
    pub cpu: u32,
    /// Zero, for later.
    pub reserved_tail: u32,
    /// [`Entry::opened_ns`] of the entry that it had left in.
    pub opened_ns: u64,
    /// From the end of that entry's record until now, nanoseconds.
    pub away_ns: u64,
    /// `CLOCK_MONOTONIC` at the return to user mode, nanoseconds.
    pub back_ns: u64,
}

/// A task of user space goes to another CPU, from a watched one or to one.
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
pub struct Moved {
    /// [`Kind::Moved`].
    pub kind: u8,
    /// Zero, for later.
    pub reserved: [u8; 3],
    /// The thread.
    pub tid: u32,
    /// Its process; 0 where this kernel does not show it.
    pub pid: u32,
    /// The CPU that it was on.
    pub from: u32,
    /// The CPU that it goes to.
    pub to: u32,
    /// Zero, for later.
    pub reserved_tail: u32,
    /// `CLOCK_MONOTONIC` before the move, nanoseconds.
    pub at_ns: u64,
    /// Its name.
    pub comm: [u64; 2],
}

/// Whose a task is that was made or woken on a watched CPU, or moved there.
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
pub struct Kin {
    /// [`Kind::Kin`].
    pub kind: u8,
    /// `KIN_…` bits.
    pub flags: u8,
    /// Zero, for later.
    pub reserved: u16,
    /// The thread.
    pub tid: u32,
    /// Its process; 0 where this kernel does not show it.
    pub pid: u32,
    /// The process that made its process, or has taken that one's place; 0 where this kernel does not show it.
    pub parent: u32,
    /// That one's name.
    pub parent_comm: [u64; 2],
}

/// A worker of `io_uring` or another of the kernel's in a process of user space: a thread that never is in user mode.
pub const KIN_WORKER: u8 = 1 << 0;

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;

    /// A record whose layout moves is a new wire version, not an accident.
    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<Entry>(), 48);
        assert_eq!(offset_of!(Entry, tid), 4);
        assert_eq!(offset_of!(Entry, opened_ns), 8);
        assert_eq!(offset_of!(Entry, duration_ns), 16);
        assert_eq!(offset_of!(Entry, ip), 24);
        assert_eq!(offset_of!(Entry, number), 32);
        assert_eq!(offset_of!(Entry, activities), 36);
        assert_eq!(offset_of!(Entry, subject), 40);
        assert_eq!(size_of::<ActivityRecord>(), 32);
        assert_eq!(offset_of!(ActivityRecord, subject), 8);
        assert_eq!(offset_of!(ActivityRecord, net_ns), 24);
        assert_eq!(size_of::<FullEntry<FEW_ACTIVITIES>>(), 232);
        assert_eq!(size_of::<FullEntry<MAX_ACTIVITIES>>(), 616);
        assert_eq!(offset_of!(FullEntry<MAX_ACTIVITIES>, args), 48);
        assert_eq!(offset_of!(FullEntry<MAX_ACTIVITIES>, idle_ns), 96);
        assert_eq!(offset_of!(FullEntry<MAX_ACTIVITIES>, activities), 104);
        assert_eq!(size_of::<Task>(), 32);
        assert_eq!(size_of::<Back>(), 40);
        assert_eq!(offset_of!(Back, away_ns), 24);
        assert_eq!(size_of::<Moved>(), 48);
        assert_eq!(offset_of!(Moved, at_ns), 24);
        assert_eq!(size_of::<Kin>(), 32);
        assert_eq!(offset_of!(Kin, parent_comm), 16);
        for align in [
            align_of::<FullEntry<MAX_ACTIVITIES>>(),
            align_of::<Back>(),
            align_of::<Entry>(),
        ] {
            assert_eq!(align, 8, "the ring aligns its records to eight bytes");
        }
        assert!(MAX_ACTIVITIES.is_power_of_two());
    }

    #[test]
    fn kinds_and_ends_lead_back() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_wire(kind as u8), Some(kind));
        }
        for &end in End::ALL {
            assert_eq!(End::from_wire(end as u8), Some(end));
        }
        assert_eq!(Kind::from_wire(0), None, "a zeroed page is no record");
    }
}
