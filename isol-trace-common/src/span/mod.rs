//! The span machine: one record per kernel entry.
//!
//! A *span* is opened when a task leaves user mode on a watched CPU and closed
//! when a task returns there. What happens in between is written into it: first
//! the cause, then the activities with their net times. The machine is pure: it
//! reads no clock and writes no ring, its callers do ([`Env`]).
//!
//! # One CPU, many programs
//!
//! There is one [`CpuState`] per CPU and no lock. Programs of one CPU interrupt
//! each other: an NMI anywhere, an interrupt inside a program that runs with
//! interrupts on. An interrupting program runs to its end before the interrupted
//! one goes on, and what it begins it also ends; no program is preempted by another
//! task (where the kernel would, ours hold it off). Three rules make that enough:
//!
//! - opening and closing mark the state [`Phase::Busy`] first, so that whoever interrupts keeps
//!   its hands off. Under context tracking interrupts are off there, save for a task's exit, and
//!   it is NMIs that are meant; where entries are derived, interrupts as well: one that
//!   falls into those instructions is in no entry;
//! - slots of the activity list are taken with one atomic addition;
//! - net times come from one running sum ([`CpuState::accounted_ns`]): an activity
//!   remembers the sum at its begin, and what has been added at its end is what
//!   nested inside. Clock and sum are read as a pair, again where an interrupt fell between.
//!
//! The `interruption` hook of [`Env`] marks the places where the tests let other
//! programs run; in the kernel it does nothing.
//!
//! # What is in which file
//!
//! [`entry`]: open, attribute, close. [`frames`]: activities. [`tasks`]: switches
//! between tasks inside a span. [`away`]: owners that come back after their span. [`life`]: who has
//! a user mode, and whether a number still means the same task.

pub mod away;
pub mod entry;
pub mod frames;
pub mod life;
pub mod tasks;

#[cfg(test)]
mod tests;

use core::cell::Cell;

use crate::{
    ledger::Ledger,
    record::{ActivityRecord, MAX_ACTIVITIES},
};

/// What the machine needs from where it runs.
pub trait Env {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    fn now(&self) -> u64;

    /// Adds one to a counter that programs of one CPU share, in one step that none of
    /// them can fall into, and returns what it was.
    fn take(&self, counter: &Cell<u32>) -> u32;

    /// Adds to a sum, as [`Env::take`] does.
    fn accrue(&self, sum: &Cell<u64>, amount: u64);

    /// A place where another program of this CPU may run. Only tests do something here.
    #[inline(always)]
    fn interruption(&self) {}
}

/// Where a CPU is, as far as the machine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// In user mode, or not known yet.
    Closed = 0,
    /// In the kernel, in an entry that began under our eyes.
    Open = 1,
    /// The entry has probably ended, but only the next event can tell. Its
    /// duration so far is in the record. NMIs and `vectors` detection.
    Settling = 2,
    /// A program is opening or closing; whoever interrupts it keeps away.
    Busy = 3,
}

/// Activities that can be under way inside one another. A power of two. User
/// mode, interrupt, softirq, timer, interrupt, hrtimer, NMI: six were seen.
pub const MAX_DEPTH: usize = 8;

/// An activity under way.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Frame {
    /// When it began.
    pub started_ns: Cell<u64>,
    /// [`CpuState::accounted_ns`] when it began.
    pub accounted_ns: Cell<u64>,
    /// Its slot in the list; [`NO_SLOT`] where the list was full.
    pub slot: Cell<u32>,
    /// An activity number, or [`IDLE`].
    pub kind: Cell<u32>,
}

/// A frame without a slot: the list was full, or the frame is not an activity.
pub const NO_SLOT: u32 = u32::MAX;

/// Kind of the frame in which the CPU idles.
pub const IDLE: u32 = 255;

/// An [`ActivityRecord`] that programs of one CPU write in turn.
#[repr(C)]
#[derive(Debug, Default)]
pub struct ActivityCells {
    /// `kind`, `flags` and `reserved` in one word, lowest byte first.
    pub head: Cell<u32>,
    /// As in the record.
    pub number: Cell<u32>,
    /// As in the record.
    pub subject: [Cell<u64>; 2],
    /// As in the record.
    pub net_ns: Cell<u64>,
}

/// The record of the span, in the layout of [`crate::record::FullEntry`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct EntryCells {
    /// `kind`, `cause`, `end` and `flags` in one word, lowest byte first; see [`head`].
    pub head: Cell<u32>,
    /// As in the record.
    pub tid: Cell<u32>,
    /// As in the record.
    pub opened_ns: Cell<u64>,
    /// As in the record.
    pub duration_ns: Cell<u64>,
    /// As in the record.
    pub ip: Cell<u64>,
    /// As in the record.
    pub number: Cell<u32>,
    /// `activities` and `dropped_activities`, lowest byte first; valid once closed.
    pub counts: Cell<u32>,
    /// As in the record.
    pub subject: Cell<u64>,
    /// As in the record.
    pub args: [Cell<u64>; 6],
    /// As in the record.
    pub idle_ns: Cell<u64>,
    /// As in the record.
    pub activities: [ActivityCells; MAX_ACTIVITIES],
}

/// Packs the first four bytes of an entry.
#[must_use]
#[inline(always)]
pub const fn head(kind: u8, cause: u8, end: u8, flags: u8) -> u32 {
    u32::from_le_bytes([kind, cause, end, flags])
}

/// The thread that last left user mode here, and what is known of it.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TaskCells {
    /// The thread; 0 before the first.
    pub tid: Cell<u32>,
    /// Generation of the names and sections when this was looked up.
    pub generation: Cell<u32>,
    /// `TASK_…` bits.
    pub flags: Cell<u32>,
    /// Zero, for later.
    pub reserved: Cell<u32>,
}

/// A filter leaves this task out.
pub const TASK_FILTERED: u32 = 1 << 0;
/// The task is in an isolated section.
pub const TASK_IN_SECTION: u32 = 1 << 1;
/// The task is the tracer itself.
pub const TASK_OWN: u32 = 1 << 2;
/// Strict mode has struck in this section.
pub const TASK_STRUCK: u32 = 1 << 3;

/// `CpuState::notes`: the owner slept inside the span.
pub const NOTE_SLEPT: u32 = 1 << 0;
/// `CpuState::notes`: the entry is left out by a filter.
pub const NOTE_FILTERED: u32 = 1 << 1;
/// `CpuState::notes`: this entry begins or ends an isolated section.
pub const NOTE_SECTION_CALL: u32 = 1 << 2;
/// `CpuState::notes`: the entry is the tracer's own.
pub const NOTE_OWN: u32 = 1 << 3;
/// `CpuState::notes`: another task, or none, has run inside the span.
pub const NOTE_SWITCHED_OUT: u32 = 1 << 4;

/// Everything the machine knows of one CPU.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct CpuState {
    /// A [`Phase`] number.
    pub phase: Cell<u32>,
    /// Frames in use.
    pub depth: Cell<u32>,
    /// Begins that found no frame; that many ends are skipped.
    pub skipped: Cell<u32>,
    /// `NOTE_…` bits of the span.
    pub notes: Cell<u32>,
    /// Slots taken, also beyond the list's end.
    pub slots: Cell<u32>,
    /// Another CPU has taken the owner over: it will not be back here.
    pub migrated: Cell<u32>,
    /// Net time of all activities of the span that have ended.
    pub accounted_ns: Cell<u64>,
    /// The user stack pointer when user mode was left: with `ip` it tells two entries apart.
    pub sp: Cell<u64>,
    /// When a task last went to user mode here; 0 before the first.
    pub user_since_ns: Cell<u64>,
    /// The task cache.
    pub task: TaskCells,
    /// The record.
    pub entry: EntryCells,
    /// Frames under way.
    pub frames: [Frame; MAX_DEPTH],
    /// Function of the `irq_work` whose queueing raised the interrupt to come; 0 for none.
    pub raised_irq_work: Cell<u64>,
    /// When it was raised; 0 where the record that says who did so was lost.
    pub raised_ns: Cell<u64>,
    /// The owner that sleeps and that nobody has woken yet; 0 for none. Another CPU may clear this.
    pub asleep: Cell<u32>,
    /// Zero, for later.
    pub reserved: Cell<u32>,
    /// The last task that was to run here and whose parent was recorded; see [`CpuState::is_parent_recorded`].
    /// Another CPU may change this.
    pub parent_recorded: Cell<u64>,
    /// The first handler of the kernel's list of NMI handlers: where it runs, an NMI begins.
    pub first_nmi_handler: Cell<u64>,
    /// Totals.
    pub ledger: Ledger<Cell<u64>>,
}

const _: () = {
    use core::mem::{offset_of, size_of};

    use crate::record::{Entry, FullEntry};

    assert!(
        cfg!(target_endian = "little"),
        "heads are packed lowest byte first"
    );
    assert!(size_of::<EntryCells>() == size_of::<FullEntry<MAX_ACTIVITIES>>());
    assert!(offset_of!(EntryCells, tid) == offset_of!(Entry, tid));
    assert!(offset_of!(EntryCells, number) == offset_of!(Entry, number));
    assert!(offset_of!(EntryCells, counts) == offset_of!(Entry, activities));
    assert!(offset_of!(EntryCells, subject) == offset_of!(Entry, subject));
    assert!(
        offset_of!(EntryCells, activities) == offset_of!(FullEntry<MAX_ACTIVITIES>, activities)
    );
    assert!(size_of::<ActivityCells>() == size_of::<ActivityRecord>());
    assert!(offset_of!(ActivityCells, net_ns) == offset_of!(ActivityRecord, net_ns));
};

impl CpuState {
    /// Where the CPU is.
    #[must_use]
    #[inline(always)]
    pub fn phase(&self) -> Phase {
        match self.phase.get() {
            0 => Phase::Closed,
            1 => Phase::Open,
            2 => Phase::Settling,
            _ => Phase::Busy,
        }
    }

    #[inline(always)]
    fn enter_phase(&self, phase: Phase) {
        self.phase.set(phase as u32);
        barrier();
    }
}

/// Keeps the compiler from moving accesses across: other programs of this CPU look.
///
/// An empty `asm!` rather than a compiler fence, which LLVM's BPF back end cannot select.
#[inline(always)]
fn barrier() {
    #[cfg(target_arch = "bpf")]
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("");
    }
    #[cfg(not(target_arch = "bpf"))]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}
