//! What processes map: what they had mapped before a trace, and what they are recorded to map during it, so that
//! `/proc/PID/maps` need not be read while they run.
//!
//! [`rings`] has the kernel's records, [`act`] what one says, [`spaces`] what follows of all of them, [`room`] whom
//! they forget where that is too much; [`lineage`] says which processes the tracer's command has started.
//! The reader's thread empties the rings at each of its turns, lest they fill while symbols are looked
//! up; the symbols' thread does before each of its questions, so that the answer is not behind.

mod act;
mod lineage;
mod order;
mod rings;
mod room;
mod space;
mod spaces;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(super) use act::Act;
pub(super) use space::{Beginning, Code, Doubt, Space};

use self::{lineage::Lineage, order::Order, rings::Ring, room::Room, spaces::Spaces};
use super::shared::maps::Mapping;
use crate::{
    clock::monotonic,
    event::ids::{Cpu, MonoNanos, Pid},
};

/// The record of what processes map, for both threads.
#[derive(Clone)]
pub(crate) struct Mappings(Arc<Mutex<Recorder>>);

/// What is recorded of a process at a time.
#[derive(Debug)]
pub(super) struct Known {
    /// Its address space.
    pub(super) space: Space,
    /// Another process that has what this one had before it was recorded.
    pub(super) base: Option<Pid>,
    /// What happened before this is in it.
    pub(super) until: MonoNanos,
}

struct Recorder {
    rings: Vec<Ring>,
    order: Order,
    spaces: Spaces,
    lineage: Lineage,
    until: MonoNanos,
}

impl std::fmt::Debug for Mappings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mappings").finish_non_exhaustive()
    }
}

impl Mappings {
    /// Begins to record what is mapped on these CPUs. That interrupts each of them once.
    pub(crate) fn record_on(&self, cpus: &[Cpu]) -> io::Result<()> {
        let rings = rings::open(cpus)?;
        self.lock().rings = rings;
        Ok(())
    }

    /// Records nothing yet, and keeps what is read.
    pub(crate) fn unrecorded() -> Self {
        Self::with(Vec::new(), Spaces::new(Room::default()))
    }

    fn with(rings: Vec<Ring>, spaces: Spaces) -> Self {
        Self(Arc::new(Mutex::new(Recorder {
            rings,
            order: Order::default(),
            spaces,
            // Records have the numbers of our own PID namespace.
            lineage: Lineage::of(Pid(std::process::id())),
            until: MonoNanos(0),
        })))
    }

    /// A process was seen to have this code at a moment, at which it was begun to be read.
    pub(super) fn read(&self, at: MonoNanos, pid: Pid, code: Vec<Mapping>) {
        let mut recorder = self.lock();
        recorder.order.put(at, Act::Read { pid, code });
    }

    /// What was recorded without a kernel.
    #[cfg(test)]
    pub(super) fn told(acts: impl IntoIterator<Item = (MonoNanos, Act)>) -> Self {
        let mut spaces = Spaces::new(Room::default());
        for (at, act) in acts {
            spaces.apply(at, act);
        }
        Self::with(Vec::new(), spaces)
    }

    /// Empties the rings, unless the other thread is just doing that. Never waits.
    pub(crate) fn turn(&self) {
        if let Ok(mut recorder) = self.0.try_lock() {
            recorder.turn();
        }
    }

    /// When a process began, or began its program; `None` where that was not recorded.
    pub(super) fn since(&self, pid: Pid) -> Option<MonoNanos> {
        let recorder = self.up_to_date();
        recorder.spaces.get(pid).map(|space| space.since)
    }

    /// What is recorded of a process.
    pub(super) fn of(&self, pid: Pid) -> Option<Known> {
        let recorder = self.up_to_date();
        let space = recorder.spaces.get(pid)?.clone();
        Some(Known {
            space,
            base: recorder.spaces.base(pid),
            until: recorder.until,
        })
    }

    /// Who started a process, who started that one, and so on, as far as it was recorded.
    pub(super) fn ancestors(&self, pid: Pid, most: usize) -> Vec<Pid> {
        let recorder = self.up_to_date();
        let parent = |pid: &Pid| recorder.spaces.parent(*pid);
        std::iter::successors(parent(&pid), parent)
            .take(most)
            .collect()
    }

    /// The tracer has started its command, as this process.
    pub(crate) fn command_is(&self, pid: Pid) {
        let mut recorder = self.up_to_date();
        let now = recorder.until;
        recorder.lineage.command_is(pid, now);
    }

    /// Whether a process was seen, at a moment, to be the command or to descend from it.
    pub(crate) fn is_of_command(&self, pid: Pid, at: MonoNanos) -> bool {
        self.up_to_date().lineage.is_of_command(pid, at)
    }

    /// Records that found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lock().spaces.lost()
    }

    /// Processes that were forgotten, since there was no room for all.
    pub(crate) fn forgotten(&self) -> u64 {
        self.lock().spaces.forgotten()
    }

    /// Records no more. What is known stays. That interrupts each CPU once.
    pub(crate) fn close(&self) {
        let mut recorder = self.up_to_date();
        recorder.rings = Vec::new();
    }

    fn up_to_date(&self) -> MutexGuard<'_, Recorder> {
        let mut recorder = self.lock();
        recorder.turn();
        recorder
    }

    /// What a thread that panicked left is as good as what it found.
    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Takes what is in the rings, and has everything happen that came before this.
    fn turn(&mut self) {
        let Self {
            rings,
            order,
            spaces,
            lineage,
            until,
        } = self;
        let now = monotonic();
        for ring in rings {
            ring.drain(now, |at, act| order.put(at, act));
        }
        for (at, act) in order.before(now) {
            lineage.apply(at, &act);
            spaces.apply(at, act);
        }
        *until = now;
    }
}

#[cfg(test)]
mod tests;
