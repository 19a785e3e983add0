//! Victims whose entry ended while another task ran: how long until they are back in user mode.
//!
//! Time asleep is no noise: a victim that slept is away from the moment that somebody wakes it.

use super::CpuState;
use crate::{
    cause::Cause,
    record::{Back, Kind},
};

/// A victim that is not back yet, by its thread in a map of all CPUs.
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
    /// Zero, for later.
    pub reserved: u32,
}

impl Away {
    /// The victim of the span that `state` has just closed.
    #[must_use]
    #[inline(always)]
    pub fn left(state: &CpuState, cpu: u32) -> Self {
        Self {
            opened_ns: state.entry.opened_ns.get(),
            since_ns: state.ended_ns(),
            cpu,
            asleep: u32::from(state.owner_sleeps()),
            in_call: u32::from(state.cause() == Cause::Syscall as u8),
            reserved: 0,
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

    /// The record of its return. `None`: the clock went back.
    #[must_use]
    #[inline(always)]
    pub fn back(&self, tid: u32, at_ns: u64) -> Option<Back> {
        if at_ns < self.since_ns {
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
