//! Signals that end a task, or that strict mode raises: who raised them, and for which entry.
//!
//! The kernel writes no reason down where it signals a task. The programs keep two notes for the
//! moment of the delivery: which entry strict mode struck ([`Strike`]), and who sent a process its
//! last signal that could end it ([`Signalled`]).

use crate::cause::words;

words! {
    /// Who raised a signal, as far as the kernel side can tell.
    Raiser {
        /// Neither of those below: [`Kill::sender_tid`] and [`Kill::code`] tell more.
        Signal = 0, "signal";
        /// Strict mode of the kernel's task isolation.
        StrictMode = 1, "strict-mode";
        /// The strict mode that isol-trace makes.
        Tracer = 2, "tracer";
    }
}

/// [`Kill::flags`]: the signal's action is to end the process.
pub const KILL_FATAL: u8 = 1 << 0;
/// [`Kill::flags`]: the sender of the signal was seen.
pub const KILL_SENDER: u8 = 1 << 1;
/// [`Kill::flags`]: [`KillRecord::entry`] is there.
pub const KILL_ENTRY: u8 = 1 << 3;
/// [`Kill::flags`] and [`Signalled::flags`]: an interrupt handler sent it, not the task that it interrupted.
pub const KILL_BY_INTERRUPT: u8 = 1 << 2;

/// `SI_KERNEL` (`include/uapi/asm-generic/siginfo.h`): what signals without an origin have as their code.
pub const SI_KERNEL: i32 = 0x80;

/// A signal was delivered that ends the task, or that strict mode raised.
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
pub struct Kill {
    /// [`crate::record::Kind::Kill`].
    pub kind: u8,
    /// The signal's number.
    pub signal: u8,
    /// A [`Raiser`] number.
    pub raiser: u8,
    /// `KILL_…` bits.
    pub flags: u8,
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// The CPU that it was delivered on.
    pub cpu: u32,
    /// `CLOCK_MONOTONIC` at the delivery, nanoseconds.
    pub at_ns: u64,
    /// [`crate::record::Entry::opened_ns`] of the entry that led to it; 0 where there is none.
    pub opened_ns: u64,
    /// The CPU of that entry.
    pub entry_cpu: u32,
    /// `si_code` of the signal; of meaning where the sender was seen.
    pub code: i32,
    /// The sender's CPU.
    pub sender_cpu: u32,
    /// The sender's process.
    pub sender_pid: u32,
    /// The sender's thread.
    pub sender_tid: u32,
    /// Zero, for later.
    pub reserved: u32,
    /// The sender's name.
    pub sender_comm: [u64; 2],
    /// The name of the thread that it was delivered to.
    pub comm: [u64; 2],
}

/// What the ring carries: the signal, and the entry that led to it or in which it was delivered, as far
/// as it had come by then. Its own record comes when it ends, and may find no room.
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
pub struct KillRecord {
    /// The signal.
    pub kill: Kill,
    /// The entry as [`crate::record::Kind::EntrySyscall`] has it, with no [`crate::record::End`] (0), and as
    /// its duration the time until it was struck or the signal delivered. Zeros without [`KILL_ENTRY`].
    pub entry: [u64; ENTRY_WORDS],
}

/// Word of an entry that has its duration.
pub const DURATION_WORD: usize = core::mem::offset_of!(crate::record::Entry, duration_ns) / 8;

/// Strict mode has struck a task: which entry was the breach, and which signal is to come.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strike {
    /// [`crate::record::Entry::opened_ns`] of that entry.
    pub opened_ns: u64,
    /// Its CPU.
    pub cpu: u32,
    /// The signal's number.
    pub signal: u8,
    /// A [`Raiser`] number.
    pub raiser: u8,
    /// Zero, for later.
    pub reserved: u16,
    /// The entry then, as [`KillRecord::entry`].
    pub entry: [u64; ENTRY_WORDS],
}

/// The last signal sent to a process that could end it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signalled {
    /// The signal's number.
    pub signal: u32,
    /// Its `si_code`.
    pub code: i32,
    /// The sender's CPU.
    pub cpu: u32,
    /// The sender's process.
    pub pid: u32,
    /// The sender's thread.
    pub tid: u32,
    /// `KILL_BY_INTERRUPT`, or 0.
    pub flags: u32,
    /// The sender's name.
    pub comm: [u64; 2],
}

/// Highest signal number (`include/uapi/asm-generic/signal.h`).
pub const MAX_SIGNAL: u32 = 64;

/// `SIGKILL`.
pub const SIGKILL: u32 = 9;

/// Signals whose default action ends no process, as bits: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG,
/// WINCH (`include/linux/signal.h`, v6.12).
const HARMLESS: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;

/// Whether a signal ends a process that does nothing about it.
#[must_use]
#[inline(always)]
pub const fn is_deadly(signal: u32) -> bool {
    signal != 0 && signal <= MAX_SIGNAL && (signal == MAX_SIGNAL || HARMLESS >> signal & 1 == 0)
}

/// Signals that an exception raises, as bits: ILL, TRAP, BUS, FPE, SEGV.
const EXCEPTION_SIGNALS: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 11;

/// Whether an exception raises this signal.
#[must_use]
#[inline(always)]
pub const fn is_of_exception(signal: u32) -> bool {
    signal < 64 && EXCEPTION_SIGNALS >> signal & 1 != 0
}

/// An isolated section, as its map has it: never 0, which says that a thread is in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section(pub u16);

impl Section {
    /// One that the task alone knows of.
    pub const PLAIN: Self = Self(1);
    /// Strict mode has struck in it.
    const STRUCK: u16 = 1 << 1;
    /// NMIs and machine checks lead to the signal, too.
    const NMI: u16 = 1 << 2;

    /// One that the kernel has activated: `signal` is what a breach leads to, 0 for none.
    #[must_use]
    #[inline(always)]
    pub const fn activated(signal: u32, nmi: bool) -> Self {
        let nmi = if nmi { Self::NMI } else { 0 };
        let [signal, ..] = signal.to_le_bytes();
        Self(Self::PLAIN.0 | nmi | (signal as u16) << 8)
    }

    /// The signal that the kernel raises for a breach; 0 for none.
    #[must_use]
    #[inline(always)]
    pub const fn signal(self) -> u32 {
        (self.0 >> 8) as u32
    }

    /// Whether the kernel signals for NMIs.
    #[must_use]
    #[inline(always)]
    pub const fn counts_nmis(self) -> bool {
        self.0 & Self::NMI != 0
    }

    /// The same after strict mode has struck.
    #[must_use]
    #[inline(always)]
    pub const fn struck(self) -> Self {
        Self(self.0 | Self::STRUCK)
    }

    /// Whether strict mode has struck.
    #[must_use]
    #[inline(always)]
    pub const fn is_struck(self) -> bool {
        self.0 & Self::STRUCK != 0
    }
}

/// Entries that a CPU remembers of those whose records found no room. A power of two.
pub const HISTORY_ENTRIES: usize = 8;

/// The last entries of a CPU whose records found no room in the ring: what they were is not lost
/// when their task dies of one of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct OverflowHistory {
    /// How many there have been: the next goes to this place, modulo [`HISTORY_ENTRIES`].
    pub count: u64,
    /// Each as [`crate::record::Kind::EntrySyscall`] has it.
    pub entries: [[u64; ENTRY_WORDS]; HISTORY_ENTRIES],
}

/// Words of an entry and its arguments.
pub const ENTRY_WORDS: usize = (size_of::<crate::record::Entry>() + 48) / 8;

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<Kill>(), 88);
        assert_eq!(align_of::<Kill>(), 8);
        assert_eq!(offset_of!(Kill, at_ns), 16);
        assert_eq!(offset_of!(Kill, code), 36);
        assert_eq!(offset_of!(Kill, sender_comm), 56);
        assert_eq!(offset_of!(Kill, comm), 72);
        assert_eq!(size_of::<KillRecord>(), 184);
        assert_eq!(offset_of!(KillRecord, entry), 88);
        assert_eq!(DURATION_WORD, 2);
        assert_eq!(size_of::<Strike>(), 112);
        assert_eq!(offset_of!(Strike, entry), 16);
        assert_eq!(size_of::<Signalled>(), 40);
        assert_eq!(ENTRY_WORDS, 12);
        assert!(HISTORY_ENTRIES.is_power_of_two());
    }

    #[test]
    fn raisers_lead_back() {
        for &raiser in Raiser::ALL {
            assert_eq!(Raiser::from_wire(raiser as u8), Some(raiser));
        }
        assert_eq!(Raiser::from_wire(9), None);
    }

    #[test]
    fn a_signal_is_deadly_unless_it_stops_continues_or_is_ignored() {
        for deadly in [1, 2, 6, 9, 11, 14, 15, 30, 31, 34, 64] {
            assert!(is_deadly(deadly), "{deadly}");
        }
        for harmless in [0, 17, 18, 19, 20, 21, 22, 23, 28, 65, u32::MAX] {
            assert!(!is_deadly(harmless), "{harmless}");
        }
    }

    #[test]
    fn a_section_keeps_what_a_breach_leads_to() {
        let section = Section::activated(12, false);
        assert_eq!(section.signal(), 12);
        assert!(!section.counts_nmis() && !section.is_struck());
        let struck = section.struck();
        assert!(struck.is_struck() && struck.signal() == 12);
        assert!(Section::activated(9, true).counts_nmis());
        assert_eq!(Section::PLAIN.signal(), 0);
        assert_ne!(Section::activated(0, false).0, 0, "it is one");
    }

    #[test]
    fn only_some_signals_are_raised_by_exceptions() {
        let raised = (0..=u32::from(u8::MAX)).filter(|&signal| is_of_exception(signal));
        // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV (include/uapi/asm-generic/signal.h).
        assert!(raised.eq([4, 5, 7, 8, 11]));
    }
}
