//! Senders that wait for what they asked for.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Deref,
};

use super::{same::same, times::end_of};
use crate::event::{
    entry::KernelEntry,
    ids::{Address, Cpu, MonoNanos},
    origin::RawSender,
};

/// Senders that wait for their breach, on all CPUs together.
pub(super) const MAX_WAITING: usize = 16_384;

/// Where a sender waits. Work items and timers may move to another CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    Calls(Cpu),
    Reschedules(Cpu),
    /// `irq_work` that a CPU raised on itself.
    Raised(Cpu),
    Work,
    Timers,
}

/// `irq_work` of a CPU that waits: what is older ran where nobody looked.
const RAISED: usize = 16;

/// What a sender is known by on both sides: its list, and the address there; 0 for reschedules and `irq_work`.
pub(super) type Key = (List, u64);

/// A sender without its breach.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) sender: Box<RawSender>,
    /// When it asked.
    pub(super) at: MonoNanos,
    /// The probe that saw it does not show the csd.
    pub(super) keyless: bool,
    /// Whether it was queued at all depends on what only the sender knows.
    pub(super) conditional: bool,
    /// The CPU's queue was emptied without it once.
    passed: bool,
    /// Which of all senders it is.
    number: u64,
}

impl Deref for Waiting {
    type Target = RawSender;

    fn deref(&self) -> &RawSender {
        &self.sender
    }
}

/// Senders of one key, the earliest first.
pub(super) type Queue = VecDeque<Waiting>;

/// Something that ran in an entry, perhaps several times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    /// Whoever sent it did so until then.
    pub(super) until: MonoNanos,
    /// When the task had last gone to user mode, if that is known.
    pub(super) since: Option<MonoNanos>,
    /// How often it ran in the entry, from here on: at least once.
    pub(super) times: usize,
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// No queue in it is empty, and each is in the order of time.
    lists: HashMap<List, HashMap<u64, Queue>>,
    /// How many senders are in `lists`.
    live: usize,
    /// Senders in the order in which they came. What is answered stays here for a while, but
    /// this never holds more than twice what may wait.
    order: VecDeque<Place>,
    /// Senders that ever came.
    came: u64,
    evicted: u64,
}

/// Where a sender was put.
#[derive(Clone, Copy, Debug)]
struct Place {
    key: Key,
    at: MonoNanos,
    number: u64,
}

impl Place {
    /// Where in its queue the sender still waits.
    fn position(&self, queue: &Queue) -> Option<usize> {
        let first = queue.partition_point(|sender| sender.at < self.at);
        let mut moment = queue.range(first..).take_while(|it| it.at == self.at);
        Some(first + moment.position(|sender| sender.number == self.number)?)
    }
}

impl Senders {
    /// Senders that were forgotten for want of room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Keys that somebody waits under, how many wait, and how much the order of all holds.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize, usize) {
        let queues = || self.lists.values().flat_map(HashMap::values);
        assert_eq!(queues().map(VecDeque::len).sum::<usize>(), self.live);
        (queues().count(), self.live, self.order.len())
    }

    /// Lets a sender wait.
    pub(super) fn put(
        &mut self,
        key: Key,
        at: MonoNanos,
        sender: Box<RawSender>,
        conditional: bool,
    ) {
        let (list, address) = key;
        let number = self.came;
        self.came += 1;
        let queue = self
            .lists
            .entry(list)
            .or_default()
            .entry(address)
            .or_default();
        if list == List::Timers {
            // Armed again before it expired, or expired unseen: only the last two can matter,
            // one that has expired and its own arming again since.
            while queue.len() > 1 {
                queue.pop_front();
                self.live -= 1;
            }
        }
        if matches!(list, List::Raised(_)) && queue.len() >= RAISED {
            queue.pop_front();
            self.live -= 1;
        }
        // Senders on different CPUs come from different rings.
        let place = queue.partition_point(|earlier| earlier.at <= at);
        queue.insert(
            place,
            Waiting {
                sender,
                at,
                keyless: address == 0,
                conditional,
                passed: false,
                number,
            },
        );
        self.live += 1;
        self.order.push_back(Place { key, at, number });
        while self.live > MAX_WAITING {
            self.evict_oldest();
        }
        // At least every second one is answered: that pays for looking at all of them.
        if self.order.len() > 2 * MAX_WAITING {
            let Self { lists, order, .. } = self;
            order.retain(|place| {
                let (list, address) = place.key;
                let queue = lists.get(&list).and_then(|queues| queues.get(&address));
                queue.is_some_and(|queue| place.position(queue).is_some())
            });
        }
    }

    /// Forgets the sender that came first of those that wait.
    fn evict_oldest(&mut self) {
        while let Some(place) = self.order.pop_front() {
            let removed = self.with_queue(place.key, |queue| queue.remove(place.position(queue)?));
            if removed.flatten().is_some() {
                self.evicted += 1;
                return;
            }
        }
    }

    /// Takes something out of the queue of a key, if there is one.
    pub(super) fn with_queue<R>(
        &mut self,
        (list, address): Key,
        does: impl FnOnce(&mut Queue) -> R,
    ) -> Option<R> {
        let queues = self.lists.get_mut(&list)?;
        let queue = queues.get_mut(&address)?;
        let before = queue.len();
        let result = does(queue);
        self.live -= before - queue.len();
        if queue.is_empty() {
            queues.remove(&address);
        }
        Some(result)
    }

    /// Who armed a timer that expired: the last one before the entry, or else inside it. It
    /// stays: whoever armed a timer that repeats itself is the origin each time.
    pub(super) fn armed(&self, timer: u64, entry: &KernelEntry) -> Option<Box<RawSender>> {
        let queue = self.lists.get(&List::Timers)?.get(&timer)?;
        let before = queue.iter().rfind(|sender| sender.at <= entry.at);
        let within = || queue.iter().rfind(|sender| sender.at <= end_of(entry));
        before.or_else(within).map(|waiting| waiting.sender.clone())
    }

    /// Who raised the interrupt of a CPU's `irq_work` at this time.
    pub(super) fn raised(&mut self, cpu: Cpu, at: MonoNanos) -> Option<Box<RawSender>> {
        self.with_queue((List::Raised(cpu), 0), |queue| {
            let place = queue.iter().position(|waiting| waiting.at == at)?;
            queue.drain(..place);
            queue.pop_front().map(|waiting| waiting.sender)
        })
        .flatten()
    }

    /// The sender of something that ran in an entry. `None` where it is not known which.
    pub(super) fn take(&mut self, key: Key, ran: &Ran) -> Option<Box<RawSender>> {
        self.with_queue(key, |queue| {
            let mut possible = queue.partition_point(|sender| sender.at <= ran.until);
            let stale = ran
                .since
                .map_or(0, |since| queue.partition_point(|sender| sender.at < since));
            let dropped = stale.min(possible.saturating_sub(ran.times));
            queue.drain(..dropped);
            possible -= dropped;
            let first = (possible > 0).then(|| queue.pop_front()).flatten()?;
            let others = possible - 1;
            let ambiguous = others >= ran.times
                && dropped == 0
                && queue.iter().take(others).any(|other| !same(&first, other));
            if ambiguous {
                queue.drain(..others);
                return None;
            }
            Some(first.sender)
        })
        .flatten()
    }

    /// The queue of a CPU's cross-calls was emptied. What was asked for until then and does not
    /// show when it runs is handed out; the rest may have been late, once.
    pub(super) fn emptied(
        &mut self,
        cpu: Cpu,
        at: MonoNanos,
        shown: &HashSet<Address>,
    ) -> Vec<Waiting> {
        let mut unseen = Vec::new();
        let Some(queues) = self.lists.get_mut(&List::Calls(cpu)) else {
            return unseen;
        };
        let live = &mut self.live;
        queues.retain(|_, queue| {
            let before = queue.len();
            let answered = queue.partition_point(|sender| sender.at <= at);
            let mut late = Vec::new();
            for mut sender in queue.drain(..answered) {
                if !sender
                    .callback
                    .is_some_and(|address| shown.contains(&address))
                {
                    unseen.push(sender);
                } else if !sender.passed {
                    sender.passed = true;
                    late.push(sender);
                }
            }
            for sender in late.into_iter().rev() {
                queue.push_front(sender);
            }
            *live -= before - queue.len();
            !queue.is_empty()
        });
        unseen
    }
}
