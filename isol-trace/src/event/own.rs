//! What the tracer itself caused, as breaches show it.
//!
//! The kernel's side counts the entries of the tracer's own threads, and what these ask of watched
//! CPUs ("sends"). Sends are not breaches: a timer that was armed once expires again and again, two sends
//! can share one interrupt, and a send can meet a CPU that is in the kernel anyway. So breaches are
//! counted here, by their origins. Only where entries have no record do sends stand in for them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{
    ids::Pid,
    model::{Breach, Origin},
};

/// The processes of the tracer: itself, and the one that reads programs' files for it, whose number changes when that has
/// to be started again.
#[derive(Clone, Debug)]
pub struct OwnProcesses {
    tracer: Pid,
    symbolizer: Arc<AtomicU32>,
}

impl OwnProcesses {
    /// `symbolizer` holds the number of the other one, or 0.
    #[must_use]
    pub const fn new(tracer: Pid, symbolizer: Arc<AtomicU32>) -> Self {
        Self { tracer, symbolizer }
    }

    /// Whether a process is one of them.
    #[must_use]
    pub fn has(&self, pid: Pid) -> bool {
        pid == self.tracer || (pid.0 != 0 && pid.0 == self.symbolizer.load(Ordering::Relaxed))
    }
}

impl From<Pid> for OwnProcesses {
    fn from(tracer: Pid) -> Self {
        Self::new(tracer, Arc::default())
    }
}

/// Breaches that the tracer caused in tasks that are not its own.
#[derive(Clone, Copy, Debug)]
pub struct OwnBreaches {
    own: Pid,
    breaches: u64,
    /// Sends that have shown as an origin.
    shown: u64,
}

/// What the kernel's side counts of the tracer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnCounts {
    /// Entries of its own threads on watched CPUs, recorded or not.
    pub entries: u64,
    /// Interrupts, work and timers that its threads asked of watched CPUs.
    pub sends: u64,
    /// Entries of watched CPUs without a record: lost, or left out by a filter.
    pub unrecorded: u64,
}

impl OwnBreaches {
    /// None so far. `own` is the tracer's process.
    #[must_use]
    pub const fn new(own: Pid) -> Self {
        Self {
            own,
            breaches: 0,
            shown: 0,
        }
    }

    /// Takes in a breach whose origins are final.
    pub fn take(&mut self, breach: &Breach) {
        let is_own = |origin: &&Origin| matches!(origin, Origin::Tracer(_));
        let shown = breach.origins.iter().filter(is_own).count();
        self.shown = self.shown.saturating_add(shown as u64);
        // Entries of its own threads are counted where they happen.
        if shown > 0 && breach.task.pid != Some(self.own) {
            self.breaches = self.breaches.saturating_add(1);
        }
    }

    /// All breaches that the tracer caused: exact where every entry has a record. Where some have
    /// none, each of them may be due to a send that has not shown, and counts as such.
    #[must_use]
    pub fn total(&self, counts: OwnCounts) -> u64 {
        let hidden = counts.sends.saturating_sub(self.shown);
        let others = hidden.min(counts.unrecorded);
        counts
            .entries
            .saturating_add(self.breaches)
            .saturating_add(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        ids::{Cpu, MonoNanos, Tid},
        model::{Sender, TaskId, Via},
    };

    const OWN: Pid = Pid(4242);

    fn sender() -> Box<Sender> {
        Box::new(Sender {
            via: Via::Hrtimer,
            at: Some(MonoNanos(1)),
            cpu: Some(Cpu(0)),
            task: None,
            callback: None,
            callsite: None,
            stack: Vec::new(),
            user_stack: Arc::default(),
            inferred: false,
        })
    }

    fn breach(pid: Pid, origins: Vec<Origin>) -> Breach {
        Breach {
            task: TaskId {
                pid: Some(pid),
                tid: Tid(7),
                comm: None,
            },
            origins,
            ..crate::event::breach::tests::breach()
        }
    }

    fn taken(breaches: &[Breach]) -> OwnBreaches {
        let mut own = OwnBreaches::new(OWN);
        for breach in breaches {
            own.take(breach);
        }
        own
    }

    fn ours() -> Origin {
        Origin::Tracer(sender())
    }

    #[test]
    fn the_process_that_reads_files_is_ours_whatever_its_number() {
        let number = Arc::new(AtomicU32::new(0));
        let own = OwnProcesses::new(OWN, number.clone());
        assert!(own.has(OWN) && !own.has(Pid(0)) && !own.has(Pid(7)));
        number.store(7, Ordering::Relaxed);
        assert!(own.has(Pid(7)) && !own.has(Pid(8)));
        number.store(8, Ordering::Relaxed);
        assert!(own.has(Pid(8)) && !own.has(Pid(7)));
    }

    #[test]
    fn a_timer_that_was_armed_once_is_counted_each_time_that_it_expires() {
        let expired = breach(Pid(7), vec![ours()]);
        let own = taken(&[expired.clone(), expired.clone(), expired]);
        let counts = OwnCounts {
            sends: 1,
            ..OwnCounts::default()
        };
        assert_eq!(own.total(counts), 3);
    }

    #[test]
    fn sends_that_share_an_interrupt_or_cause_none_are_no_breaches() {
        let own = taken(&[
            breach(Pid(7), vec![ours(), Origin::Remote(sender()), ours()]),
            breach(Pid(7), vec![Origin::Remote(sender())]),
        ]);
        let counts = OwnCounts {
            sends: 5,
            ..OwnCounts::default()
        };
        assert_eq!(own.total(counts), 1);
    }

    #[test]
    fn an_entry_of_its_own_is_counted_once() {
        let own = taken(&[breach(OWN, vec![ours()]), breach(OWN, vec![Origin::Task])]);
        let counts = OwnCounts {
            entries: 2,
            sends: 1,
            unrecorded: 9,
        };
        assert_eq!(own.total(counts), 2);
    }

    #[test]
    fn what_has_no_record_is_the_tracers_as_far_as_it_can_be() {
        let own = taken(&[breach(Pid(7), vec![ours()])]);
        let total = |sends, unrecorded| {
            own.total(OwnCounts {
                entries: 0,
                sends,
                unrecorded,
            })
        };
        assert_eq!(total(5, 0), 1);
        assert_eq!(total(5, 3), 4);
        assert_eq!(total(5, 100), 5, "no more than it asked for");
        assert_eq!(total(0, 100), 1);
    }
}
