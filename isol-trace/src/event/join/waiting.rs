//! Senders whose breach has not come yet: queues of them by what they asked for, and which sender is taken
//! when that runs.

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

/// How many senders may wait for their breach, for all CPUs together.
pub(super) const MAX_WAITING: usize = 16_384;

/// What kind of thing a sender asked for, and of which CPU. Work items and timers have no CPU here: they may
/// move to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RequestKind {
    Calls(Cpu),
    Reschedules(Cpu),
    /// The interrupt for `irq_work`, which a CPU raised on itself.
    Raised(Cpu),
    Work,
    Timers,
}

/// How many raised `irq_work` interrupts of one CPU may wait. What is older than those ran where nobody looked.
const MAX_RAISED: usize = 16;

/// What sender and receiver both know of a request: its list, and its address (of the csd, work item or
/// timer). The address is 0 for reschedules and `irq_work`.
pub(super) type Key = (RequestKind, u64);

/// A sender whose breach has not come yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) sender: Box<RawSender>,
    /// When it asked.
    pub(super) at: MonoNanos,
    /// The probe that saw it does not show the csd.
    pub(super) keyless: bool,
    /// The sender checks a condition before it queues the request, so that it may have queued nothing.
    pub(super) conditional: bool,
    /// The CPU has emptied its queue once without running this request.
    missed_once: bool,
    /// The number of this sender, in the order in which all of them came.
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

/// When something ran in an entry, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    /// It was sent at this time or before.
    pub(super) until: MonoNanos,
    /// When the CPU had last gone to user mode before the entry, if that is known.
    pub(super) since: Option<MonoNanos>,
    /// How often it ran in the entry, from here on: at least once.
    pub(super) times: usize,
}

/// All senders that wait.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// The queue of each key. No queue is empty, and each is in the order of time.
    lists: HashMap<RequestKind, HashMap<u64, Queue>>,
    /// How many senders are in `lists`.
    live: usize,
    /// Where each sender was put, in the order in which they came. The place of a sender that no longer waits
    /// stays here for a while, but there are never more than twice [`MAX_WAITING`] places.
    order: VecDeque<Place>,
    /// How many senders ever came.
    came: u64,
    evicted: u64,
}

/// Where a sender was put: its queue, and what finds it there.
#[derive(Clone, Copy, Debug)]
struct Place {
    key: Key,
    at: MonoNanos,
    number: u64,
}

impl Place {
    /// The sender's index in its queue; `None` if it no longer waits.
    fn position(&self, queue: &Queue) -> Option<usize> {
        let first = queue.partition_point(|sender| sender.at < self.at);
        let mut moment = queue.range(first..).take_while(|it| it.at == self.at);
        Some(first + moment.position(|sender| sender.number == self.number)?)
    }
}

impl Senders {
    /// How many senders were forgotten for want of room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many queues there are, how many senders wait in them, and how many places `order` has.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize, usize) {
        let queues = || self.lists.values().flat_map(HashMap::values);
        assert_eq!(queues().map(VecDeque::len).sum::<usize>(), self.live);
        (queues().count(), self.live, self.order.len())
    }

    /// Adds a sender to the queue of its key.
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
        if list == RequestKind::Timers {
            // Older armings were replaced before the timer expired, or it expired unseen. Only the last two can
            // matter: the one by which it expired, and the one by which it was armed again since.
            while queue.len() > 1 {
                queue.pop_front();
                self.live -= 1;
            }
        }
        if matches!(list, RequestKind::Raised(_)) && queue.len() >= MAX_RAISED {
            queue.pop_front();
            self.live -= 1;
        }
        // Records of different CPUs come from different rings, so not always in the order of time.
        let place = queue.partition_point(|earlier| earlier.at <= at);
        queue.insert(
            place,
            Waiting {
                sender,
                at,
                keyless: address == 0,
                conditional,
                missed_once: false,
                number,
            },
        );
        self.live += 1;
        self.order.push_back(Place { key, at, number });
        while self.live > MAX_WAITING {
            self.evict_oldest();
        }
        // At least every second place is of a sender that no longer waits: that pays for looking at all of them.
        if self.order.len() > 2 * MAX_WAITING {
            let Self { lists, order, .. } = self;
            order.retain(|place| {
                let (list, address) = place.key;
                let queue = lists.get(&list).and_then(|queues| queues.get(&address));
                queue.is_some_and(|queue| place.position(queue).is_some())
            });
        }
    }

    /// Of the senders that wait, forgets the one that came first.
    fn evict_oldest(&mut self) {
        while let Some(place) = self.order.pop_front() {
            let removed = self.with_queue(place.key, |queue| queue.remove(place.position(queue)?));
            if removed.flatten().is_some() {
                self.evicted += 1;
                return;
            }
        }
    }

    /// Lets `does` take senders out of the queue of a key, if there is one, and returns what it returns.
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

    /// Who armed a timer that expired: the last sender before the entry, or else the last one inside it. The
    /// sender stays in its queue: if the timer repeats itself, who armed it is the origin each time.
    pub(super) fn armed(&self, timer: u64, entry: &KernelEntry) -> Option<Box<RawSender>> {
        let queue = self.lists.get(&RequestKind::Timers)?.get(&timer)?;
        let before = queue.iter().rfind(|sender| sender.at <= entry.at);
        let within = || queue.iter().rfind(|sender| sender.at <= end_of(entry));
        before.or_else(within).map(|waiting| waiting.sender.clone())
    }

    /// Who raised the interrupt of a CPU's `irq_work` at this time.
    pub(super) fn raised(&mut self, cpu: Cpu, at: MonoNanos) -> Option<Box<RawSender>> {
        self.with_queue((RequestKind::Raised(cpu), 0), |queue| {
            let place = queue.iter().position(|waiting| waiting.at == at)?;
            queue.drain(..place);
            queue.pop_front().map(|waiting| waiting.sender)
        })
        .flatten()
    }

    /// Takes out the sender of something that ran in an entry. `None` if there is none, or if several senders
    /// that differ are possible.
    pub(super) fn take(&mut self, key: Key, ran: &Runs) -> Option<Box<RawSender>> {
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

    /// A CPU emptied its queue of cross-calls at `at`: what was asked for until then has run. Returns the
    /// senders whose functions do not show when they run. A function in `shown` would have shown: its sender
    /// may have queued it too late, so it stays this once, and is dropped the next time.
    pub(super) fn queue_emptied(
        &mut self,
        cpu: Cpu,
        at: MonoNanos,
        shown: &HashSet<Address>,
    ) -> Vec<Waiting> {
        let mut unseen = Vec::new();
        let Some(queues) = self.lists.get_mut(&RequestKind::Calls(cpu)) else {
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
                } else if !sender.missed_once {
                    sender.missed_once = true;
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
