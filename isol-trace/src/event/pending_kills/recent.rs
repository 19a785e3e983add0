//! The last breaches of each thread, where others cannot push them out: a task that is to die may have to wait for its
//! CPU while thousands of entries of other tasks come.

use std::collections::{HashMap, VecDeque};

use isol_trace_common::record::End;

use super::{
    super::{
        entry::KernelEntry,
        ids::{Cpu, MonoNanos, Seq, Tid},
        per_cpu::PerCpu,
    },
    Led,
};

/// Breaches that are remembered of a thread on a CPU.
const EACH: usize = 16;

/// Threads that are remembered beside the last one of each CPU; of more those go that were not seen for longest.
const MAX_THREADS: usize = 4096;

/// A breach that has its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pub(super) at: MonoNanos,
    pub(super) seq: Seq,
    pub(super) led: Option<Led>,
}

/// The last breaches of one thread on one CPU, in order.
#[derive(Debug, Default)]
struct Past {
    breaches: VecDeque<Recent>,
    /// The thread died there: its number may come again as another's.
    has_ended: bool,
}

impl Past {
    /// When it was last of use: a dead thread first makes room.
    fn seen(&self) -> Seq {
        let last = self.breaches.back().filter(|_| !self.has_ended);
        last.map_or(Seq(0), |last| last.seq)
    }
}

/// The last breaches of the thread that a CPU's last one is of.
#[derive(Debug, Default)]
struct Current {
    tid: Tid,
    past: Past,
    /// When any thread last left user mode on that CPU.
    latest: Option<MonoNanos>,
}

/// The last breaches of each thread on each CPU.
#[derive(Debug, Default)]
pub(super) struct RecentBreaches {
    /// Most breaches of a CPU are of the thread that the one before was of.
    current: PerCpu<Current>,
    others: HashMap<(Cpu, Tid), Past>,
}

impl RecentBreaches {
    /// Adds one. A thread for which `keeps` holds is not forgotten.
    pub(super) fn add(&mut self, seq: Seq, entry: &KernelEntry, keeps: impl Fn(Cpu, Tid) -> bool) {
        let (cpu, tid) = (entry.cpu, entry.task.tid);
        let current = self.current.of(cpu);
        if current.tid != tid {
            let past = self.others.remove(&(cpu, tid)).unwrap_or_default();
            let before = std::mem::replace(&mut current.past, past);
            let whose = std::mem::replace(&mut current.tid, tid);
            if !before.breaches.is_empty() {
                self.others.insert((cpu, whose), before);
            }
        }
        let past = &mut current.past;
        if past.has_ended {
            past.breaches.clear();
        } else if past.breaches.len() >= EACH {
            past.breaches.pop_front();
        }
        past.has_ended = entry.end == End::Exited;
        past.breaches.push_back(Recent {
            at: entry.at,
            seq,
            led: Led::by(entry),
        });
        current.latest = current.latest.max(Some(entry.at));
        if self.others.len() > MAX_THREADS {
            self.forget(keeps);
        }
    }

    /// Forgets half of the threads, so that this need not be done for each new one.
    fn forget(&mut self, keeps: impl Fn(Cpu, Tid) -> bool) {
        let mut seen: Vec<_> = self.others.values().map(Past::seen).collect();
        let middle = seen.len() / 2;
        let (_, &mut limit, _) = seen.select_nth_unstable(middle);
        self.others
            .retain(|&(cpu, tid), past| past.seen() > limit || keeps(cpu, tid));
    }

    /// Whether one has come that began on this CPU at that time or later.
    pub(super) fn has_reached(&self, cpu: Cpu, at: MonoNanos) -> bool {
        let latest = self.current.get(cpu).and_then(|current| current.latest);
        latest.is_some_and(|latest| latest >= at)
    }

    /// Those of a thread on a CPU, in order.
    pub(super) fn of(&self, cpu: Cpu, tid: Tid) -> impl Iterator<Item = Recent> + '_ {
        let current = self.current.get(cpu).filter(|current| current.tid == tid);
        let past = match current {
            Some(current) => Some(&current.past),
            None => self.others.get(&(cpu, tid)),
        };
        past.into_iter().flat_map(|past| &past.breaches).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::entry::tests::entry;

    #[derive(Default)]
    struct Seen {
        recent: RecentBreaches,
        next: u64,
    }

    impl Seen {
        fn ends(&mut self, tid: u32, end: End) {
            self.next += 1;
            let mut one = entry();
            (one.cpu, one.at) = (Cpu(1), MonoNanos(self.next));
            (one.task.tid, one.end) = (Tid(tid), end);
            // The first thread is the one that a signal waits for.
            self.recent
                .add(Seq(self.next), &one, |_, tid| tid == Tid(1));
        }

        fn of(&self, tid: u32) -> Vec<u64> {
            self.recent
                .of(Cpu(1), Tid(tid))
                .map(|it| it.seq.0)
                .collect()
        }
    }

    proptest! {
        /// Whatever other threads do, as many as they are, with their share each.
        #[test]
        fn a_thread_keeps_its_own(others in prop::collection::vec(2_u32..300, 0..2_000)) {
            let mut seen = Seen::default();
            let mut expected = Vec::new();
            for (number, &tid) in others.iter().enumerate() {
                if number % 100 == 0 {
                    seen.ends(300, End::Return);
                    expected.push(seen.next);
                }
                seen.ends(tid, End::Switched);
            }
            let skipped = expected.len().saturating_sub(EACH);
            prop_assert_eq!(seen.of(300), &expected[skipped..]);
            prop_assert!(others.iter().all(|&tid| seen.of(tid).len() <= EACH));
            prop_assert_eq!(seen.recent.has_reached(Cpu(1), MonoNanos(seen.next)), seen.next > 0);
            prop_assert!(!seen.recent.has_reached(Cpu(1), MonoNanos(seen.next + 1)));
        }
    }

    #[test]
    fn of_too_many_threads_the_dead_and_those_not_seen_for_long_go_first() {
        let many = 2 * u32::try_from(MAX_THREADS).unwrap();
        let mut seen = Seen::default();
        for tid in [1, 2, 3] {
            seen.ends(tid, End::Switched);
        }
        for tid in 10..10 + many {
            seen.ends(tid, End::Exited);
            assert!(seen.recent.others.len() <= MAX_THREADS);
        }
        assert_eq!(seen.of(2), [2], "others have died since");
        assert!(seen.of(10).is_empty(), "it is dead");
        for tid in 10 + many..10 + 2 * many {
            seen.ends(tid, End::Switched);
            assert!(seen.recent.others.len() <= MAX_THREADS);
        }
        assert!(
            seen.of(2).is_empty(),
            "more live ones than there is room for"
        );
        assert_eq!(seen.of(1), [1], "a signal waits for it");
    }

    #[test]
    fn a_number_that_comes_again_is_another_thread() {
        let mut seen = Seen::default();
        seen.ends(7, End::Return);
        seen.ends(7, End::Exited);
        assert_eq!(seen.of(7), [1, 2]);
        seen.ends(7, End::Return);
        assert_eq!(seen.of(7), [3]);
    }
}
