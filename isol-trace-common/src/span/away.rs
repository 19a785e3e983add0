//! Tasks whose entry ended while another task ran: how long until they are back in user mode.
//!
//! Time asleep is no noise: a task that slept is away from the moment that somebody wakes it.
//!
//! A section begins and ends as its `prctl` returns. One that is still in it then says so here.

use super::{CpuState, NOTE_FILTERED, NOTE_SECTION_CALL, life::lived};
use crate::{
    cause::Cause,
    record::{Back, Kind},
};

/// [`Away::notes`]: it has still to return from the call that begins or ends its isolated section.
pub const AWAY_SECTION_CALL: u32 = 1 << 0;
/// [`Away::notes`]: no record is to tell of its return. A filter leaves its entry out, or it is to be
/// back on another CPU.
pub const AWAY_UNTOLD: u32 = 1 << 1;

/// A task that is not back yet, by its thread in a map of all CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Away {
    /// When its entry was opened.
    pub opened_ns: u64,
    /// Since when it has been wanting the CPU: the end of its entry's record, or when it was woken.
    pub since_ns: u64,
    /// The CPU whose entry it was.
    pub cpu: u32,
    /// Not 0: it sleeps, and has not been woken since.
    pub asleep: u32,
    /// Not 0: its entry is a system call, whose return it has still before it.
    pub in_call: u32,
    /// `AWAY_…` bits.
    pub notes: u32,
    /// What its section call asks for, where it is in one.
    pub operation: u64,
}

impl Away {
    /// The owner of the span of `state`, which is still in the kernel and has lost the CPU.
    #[must_use]
    #[inline(always)]
    pub fn left(state: &CpuState, cpu: u32) -> Self {
        let notes = state.notes.get();
        let section_call = if notes & NOTE_SECTION_CALL != 0 {
            AWAY_SECTION_CALL
        } else {
            0
        };
        let untold = if notes & NOTE_FILTERED != 0 || state.migrated.get() != 0 {
            AWAY_UNTOLD
        } else {
            0
        };
        Self {
            opened_ns: state.entry.opened_ns.get(),
            since_ns: state.ended_ns(),
            cpu,
            asleep: u32::from(state.owner_sleeps()),
            in_call: u32::from(state.cause() == Cause::Syscall as u8),
            notes: section_call | untold,
            operation: state.entry.args[1].get(),
        }
    }

    /// Whether there is nothing to do when it is back.
    #[must_use]
    #[inline(always)]
    pub const fn is_forgettable(&self) -> bool {
        self.notes & (AWAY_SECTION_CALL | AWAY_UNTOLD) == AWAY_UNTOLD
    }

    /// What it asks for by the section call that it returns from.
    #[must_use]
    #[inline(always)]
    pub const fn section_call(&self) -> Option<u64> {
        if self.notes & AWAY_SECTION_CALL != 0 {
            Some(self.operation)
        } else {
            None
        }
    }

    /// Somebody wakes it.
    #[inline(always)]
    pub fn wake(&mut self, at_ns: u64) {
        if self.asleep != 0 {
            self.asleep = 0;
            if at_ns > self.since_ns {
                self.since_ns = at_ns;
            }
        }
    }

    /// The record of the return of a thread that was born at `born_ns`. `None`: the clock went back, or
    /// this is another task, which has the thread's number since that one died.
    #[must_use]
    #[inline(always)]
    pub fn back(&self, tid: u32, born_ns: u64, at_ns: u64) -> Option<Back> {
        if at_ns < self.since_ns || !lived(born_ns, self.opened_ns) {
            return None;
        }
        Some(Back {
            kind: Kind::Back as u8,
            reserved: [0; 3],
            tid,
            cpu: self.cpu,
            reserved_tail: 0,
            opened_ns: self.opened_ns,
            away_ns: at_ns - self.since_ns,
            back_ns: at_ns,
        })
    }
}
