//! The last wake-ups by thread. They are never answered: not every one leads to a switch.

use std::collections::{BTreeMap, HashMap, VecDeque};

use isol_trace_common::cause::Cause;

use super::{same::same, times::end_of};
use crate::event::{
    entry::{KernelActivity, KernelEntry},
    ids::MonoNanos,
    origin::RawSender,
};

/// Woken threads that are remembered; beyond that the one that was woken longest ago is forgotten.
pub(super) const MAX_WOKEN: usize = 4096;

/// Wake-ups of a thread that are remembered.
const WAKES: usize = 4;

/// A thread that was woken.
#[derive(Debug, Default)]
struct Woken {
    /// When it was woken and by whom, in the order of time.
    wakes: VecDeque<(MonoNanos, Box<RawSender>)>,
    /// Its place in the order of all; 0 where it has none yet.
    number: u64,
    /// It was switched to since it was last woken.
    ran: bool,
}

/// Who woke whom.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_thread: HashMap<u64, Woken>,
    /// Threads in the order in which they were last woken.
    order: BTreeMap<u64, u64>,
    /// Wake-ups that ever came.
    came: u64,
    evicted: u64,
}

impl Wakes {
    /// Threads that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_thread.len(), self.order.len());
        self.by_thread.len()
    }

    /// Threads that were forgotten for want of room before they were seen to run.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Remembers who woke a thread.
    pub(super) fn put(&mut self, thread: u64, at: MonoNanos, sender: Box<RawSender>) {
        self.came += 1;
        let number = self.came;
        let woken = self.by_thread.entry(thread).or_default();
        self.order.remove(&woken.number);
        self.order.insert(number, thread);
        woken.number = number;
        woken.ran = false;
        let place = woken.wakes.partition_point(|(earlier, _)| *earlier <= at);
        woken.wakes.insert(place, (at, sender));
        while woken.wakes.len() > WAKES {
            woken.wakes.pop_front();
        }
        if self.by_thread.len() > MAX_WOKEN {
            self.evict_oldest();
        }
    }

    /// Forgets the thread that was woken longest ago.
    fn evict_oldest(&mut self) {
        let oldest = self.order.pop_first();
        let woken = oldest.and_then(|(_, thread)| self.by_thread.remove(&thread));
        self.evicted += u64::from(woken.is_some_and(|woken| !woken.ran));
    }

    /// Who woke a thread before it ran in this entry. `None` where it is not known which.
    pub(super) fn waker(
        &mut self,
        item: &KernelActivity,
        entry: &KernelEntry,
    ) -> Option<Box<RawSender>> {
        let woken = self.by_thread.get_mut(&u64::from(item.number))?;
        let possible = woken.wakes.partition_point(|(at, _)| *at <= end_of(entry));
        woken.ran = possible == woken.wakes.len();
        let mut before = woken.wakes.iter().take(possible).rev();
        let (_, last) = before.next()?;
        let mut within = before.take_while(|(at, _)| *at >= entry.at);
        let one = within.all(|(_, sender)| same(sender, last));
        let mut waker = one.then(|| last.clone())?;
        if is_interrupts(item, entry, &waker) {
            waker.task = None;
            waker.unsure = false;
        }
        Some(waker)
    }
}

/// Threads that run softirqs, which an interrupt wakes at its end: no longer in its context, so that the task that it
/// interrupted seems to (`kernel/softirq.c:__irq_exit_rcu`, v6.12: `invoke_softirq` and, on `PREEMPT_RT`, `wake_timersd`).
const SOFTIRQ_THREADS: [&str; 2] = ["ksoftirqd/", "ktimers/"];

/// Whether the interrupt of an entry has woken a thread, and not the task that it interrupted, which does nothing there.
fn is_interrupts(item: &KernelActivity, entry: &KernelEntry, waker: &RawSender) -> bool {
    let runs_softirqs = |comm: &str| SOFTIRQ_THREADS.iter().any(|it| comm.starts_with(it));
    let cause = entry.cause.cause();
    (cause.is_vector() || cause == Cause::DeviceIrq)
        && item.comm.as_deref().is_some_and(runs_softirqs)
        && waker.cpu == Some(entry.cpu)
        && waker.at.is_some_and(|at| at >= entry.at)
        && (waker.task.as_ref()).is_some_and(|task| task.tid == entry.task.tid)
}
