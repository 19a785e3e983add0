//! The span itself, which is one kernel entry: it is opened, attributed to a cause, and closed. The span's
//! owner is the task that left user mode.

use super::{
    CpuState, Env, NOTE_FILTERED, NOTE_OWN, NOTE_SLEPT, NOTE_SWITCHED_OUT, Phase, TASK_FILTERED,
    TASK_IN_SECTION, TASK_OWN, away::Away, barrier, head, life::lived,
};
use crate::{
    cause::Cause,
    ledger::add,
    record::{
        End, FEW_ACTIVITIES, FLAG_LATE_SYSCALL, FLAG_NO_DURATION, FLAG_SECTION, Kind,
        MAX_ACTIVITIES,
    },
};

/// A task leaves user mode.
#[derive(Clone, Copy, Debug)]
pub struct UserExit {
    /// When.
    pub at_ns: u64,
    /// The thread.
    pub tid: u32,
    /// User instruction pointer.
    pub ip: u64,
    /// User stack pointer.
    pub sp: u64,
    /// The system call's number; `None` for an interrupt, a fault or another exception.
    pub syscall: Option<u32>,
}

impl CpuState {
    /// Opens a span. The state must be [`Phase::Busy`] or [`Phase::Closed`] (see [`CpuState::claim`]),
    /// and the task cache must hold this thread.
    #[inline(always)]
    pub fn open(&self, exit: &UserExit) {
        let entry = &self.entry;
        let task = self.task.flags.get();
        let cause = if exit.syscall.is_some() {
            Cause::Syscall
        } else {
            Cause::Unknown
        };
        let section = if task & TASK_IN_SECTION != 0 {
            FLAG_SECTION
        } else {
            0
        };
        entry.head.set(head(0, cause as u8, 0, section));
        entry.tid.set(exit.tid);
        entry.opened_ns.set(exit.at_ns);
        entry.ip.set(exit.ip);
        entry.number.set(exit.syscall.unwrap_or(0));
        entry.subject.set(0);
        entry.idle_ns.set(0);
        self.sp.set(exit.sp);
        let filtered = if task & TASK_FILTERED != 0 {
            NOTE_FILTERED
        } else {
            0
        };
        let own = if task & TASK_OWN != 0 { NOTE_OWN } else { 0 };
        self.notes.set(filtered | own);
        self.slots.set(0);
        self.migrated.set(0);
        // Without a barrier between them the compiler merges stores to adjacent fields into a call of memset,
        // which writes byte by byte.
        barrier();
        self.accounted_ns.set(0);
        self.depth.set(0);
        self.skipped.set(0);
        self.enter_phase(Phase::Open);
    }

    /// Marks the state as busy before a span is opened: from here to [`CpuState::open`] programs that
    /// interrupt this one leave it alone.
    #[inline(always)]
    pub fn claim(&self) {
        self.enter_phase(Phase::Busy);
    }

    /// The number of the cause, as far as it is known so far.
    #[must_use]
    #[inline(always)]
    pub fn cause(&self) -> u8 {
        self.entry.head.get().to_le_bytes()[1]
    }

    /// Sets the cause of an open span that has none yet. Returns whether it was set.
    #[inline(always)]
    pub fn attribute(&self, cause: Cause, number: u32, subject: u64) -> bool {
        if self.phase() != Phase::Open || self.cause() != Cause::Unknown as u8 {
            return false;
        }
        self.set_cause(cause, number, subject);
        true
    }

    /// Replaces the cause of an open span: an exception is known only by the signal that it leads to. A
    /// system call or a page fault stays the cause. Returns whether the cause was replaced.
    #[inline(always)]
    pub fn attribute_late(&self, cause: Cause, number: u32) -> bool {
        let now = self.cause();
        if self.phase() != Phase::Open
            || now == Cause::Syscall as u8
            || now == Cause::PageFault as u8
        {
            return false;
        }
        self.set_cause(cause, number, 0);
        true
    }

    #[inline(always)]
    pub(super) fn set_cause(&self, cause: Cause, number: u32, subject: u64) {
        let [kind, _, end, flags] = self.entry.head.get().to_le_bytes();
        self.entry.head.set(head(kind, cause as u8, end, flags));
        self.entry.number.set(number);
        self.entry.subject.set(subject);
    }

    /// Makes the cause a system call, whose number could not be seen when user mode was left (`int 0x80`,
    /// `syscall(-1)`).
    #[inline(always)]
    pub fn late_syscall(&self, number: u32) {
        let [kind, _, end, flags] = self.entry.head.get().to_le_bytes();
        self.entry.head.set(head(
            kind,
            Cause::Syscall as u8,
            end,
            flags | FLAG_LATE_SYSCALL,
        ));
        self.entry.number.set(number);
        self.entry.subject.set(0);
    }

    /// How the open span ends, now that the thread `returning` has got to user mode on this CPU.
    #[must_use]
    #[inline(always)]
    pub fn end_for(&self, returning: u32) -> End {
        let notes = self.notes.get();
        if self.entry.tid.get() != returning {
            End::Switched
        } else if notes & (NOTE_SLEPT | NOTE_SWITCHED_OUT) == 0 {
            // By far the most frequent case: the owner has run all the time.
            End::Return
        } else if self.migrated.get() != 0 {
            // The owner was moved to another CPU, or has died there: a task of that number here is not in this entry.
            End::Switched
        } else if notes & NOTE_SLEPT != 0 {
            End::Blocked
        } else {
            End::Return
        }
    }

    /// Whether a thread on this CPU is the owner of the open span. After the owner was moved to another CPU
    /// it may have died there, and another thread may have got its number.
    #[must_use]
    #[inline(always)]
    pub fn is_owner(&self, tid: u32) -> bool {
        self.entry.tid.get() == tid && self.migrated.get() == 0
    }

    /// The owner is moved to another CPU.
    #[inline(always)]
    pub fn owner_migrated(&self) {
        self.migrated.set(1);
    }

    /// A thread with the owner's number, which was born at `born_ns`, is moved to this CPU. Returns whether
    /// it is the owner and still in this entry: then the span is its own again.
    ///
    /// `kept` is what the map of tasks that are away has under that number, from whatever CPU. If it is of
    /// another entry than this one, the thread has been in user mode since this one.
    #[inline(always)]
    pub fn owner_migrated_back(&self, cpu: u32, born_ns: u64, kept: Option<&Away>) -> bool {
        let opened = self.entry.opened_ns.get();
        if self.phase() != Phase::Open || self.migrated.get() == 0 || !lived(born_ns, opened) {
            return false;
        }
        if kept.is_some_and(|kept| kept.cpu != cpu || kept.opened_ns != opened) {
            return false;
        }
        self.migrated.set(0);
        true
    }

    /// Closes the span: completes the record, posts it to the ledger and leaves
    /// the state [`Phase::Busy`] until [`CpuState::release`]. Returns the kind of the record to
    /// write; `None` where a filter leaves the entry out.
    #[inline(always)]
    pub fn close(&self, env: &impl Env, now: u64, end: End) -> Option<Kind> {
        if self.depth.get() != 0 {
            self.end_all(env);
        }
        self.enter_phase(Phase::Busy);
        // An activity may have ended after the caller read the clock: an NMI that came since, or one
        // that was ended just above. The entry must not be shorter than the sum of its activities. So
        // the clock is read again, now that no activity can be added.
        let now = if self.accounted_ns.get() == 0 {
            now
        } else {
            env.now()
        };
        self.finish(end, self.measure(now))
    }

    /// Stores how long the entry has lasted at `now`. If the clock went back, that is 0, and counted as a defect.
    #[inline(always)]
    fn measure(&self, now: u64) -> u64 {
        let opened = self.entry.opened_ns.get();
        let duration = if now >= opened {
            now - opened
        } else {
            add(&self.ledger.tainted, 1);
            0
        };
        self.entry.duration_ns.set(duration);
        duration
    }

    /// The end of the span that was closed last.
    #[must_use]
    #[inline(always)]
    pub fn ended_ns(&self) -> u64 {
        let entry = &self.entry;
        entry.opened_ns.get().wrapping_add(entry.duration_ns.get())
    }

    /// Closes a span that is settling. Its duration is the one that [`CpuState::settle`] stored last.
    #[inline(always)]
    pub fn close_settled(&self, end: End) -> Option<Kind> {
        self.enter_phase(Phase::Busy);
        self.finish(end, self.entry.duration_ns.get())
    }

    /// Frees the state: the CPU has no span until the next one is opened.
    #[inline(always)]
    pub fn release(&self) {
        self.enter_phase(Phase::Closed);
    }

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both counts fit a byte: they are bounded above"
    )]
    fn finish(&self, end: End, duration: u64) -> Option<Kind> {
        let [_, cause, _, flags] = self.entry.head.get().to_le_bytes();
        let notes = self.notes.get();
        if notes & NOTE_OWN != 0 {
            add(&self.ledger.own_entries, 1);
        }
        if notes & NOTE_FILTERED != 0 {
            self.ledger.post_filtered(cause);
            return None;
        }
        let idle = self.entry.idle_ns.get();
        let slots = self.slots.get() as usize;
        let listed = if slots > MAX_ACTIVITIES {
            MAX_ACTIVITIES
        } else {
            slots
        };
        let dropped = slots - listed;
        if dropped != 0 {
            add(&self.ledger.dropped_activities, dropped as u64);
        }
        let dropped = if dropped > 255 { 255 } else { dropped };
        self.entry.counts.set((listed | dropped << 8) as u32);
        let timed = flags & FLAG_NO_DURATION == 0;
        let kernel = if idle > duration {
            // Both come from one clock: idle time that is longer than the entry is a defect.
            add(&self.ledger.tainted, u64::from(timed));
            0
        } else {
            duration - idle
        };
        self.ledger
            .post(cause, if timed { Some(kernel) } else { None }, idle);
        let kind = if listed == 0 && idle == 0 {
            if cause == Cause::Syscall as u8 {
                Kind::EntrySyscall
            } else {
                Kind::Entry
            }
        } else if listed <= FEW_ACTIVITIES {
            Kind::EntryFew
        } else {
            Kind::EntryMany
        };
        self.entry
            .head
            .set(head(kind as u8, cause, end as u8, flags));
        Some(kind)
    }

    /// The entry has probably ended at `now`: stores its duration until then; see [`Phase::Settling`].
    #[inline(always)]
    pub fn settle(&self, now: u64) {
        let _so_far: u64 = self.measure(now);
        self.enter_phase(Phase::Settling);
    }

    /// The entry that was settling goes on.
    #[inline(always)]
    pub fn resume(&self) {
        self.enter_phase(Phase::Open);
    }

    /// The end of this entry will not be seen: marks its duration as unknown.
    #[inline(always)]
    pub fn untimed(&self) {
        let [kind, cause, end, flags] = self.entry.head.get().to_le_bytes();
        self.entry
            .head
            .set(head(kind, cause, end, flags | FLAG_NO_DURATION));
    }

    /// Sets a `NOTE_…` bit of the span.
    #[inline(always)]
    pub fn note(&self, note: u32) {
        self.notes.set(self.notes.get() | note);
    }
}
