//! Whose question is next: that of the user whose answers have cost the least so far, and of that user's processes the one
//! whose answers have.
//!
//! A process whose file takes seconds to read has to wait until the others have had as much. So it cannot keep the others'
//! questions from being answered, however many it asks; nor can a user who starts many processes.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    hash::Hash,
    time::Duration,
};

use super::shares::OF_USER;
use crate::{
    cache::{Cache, cache},
    event::ids::Pid,
    symbolize::shared::protocol::Payer,
};

/// Those whose cost is remembered while they ask nothing.
const REMEMBERED: usize = 2048;

/// A question that was not put: its user has too many that wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused<Q>(pub(super) Q);

/// Those who wait, by what they have cost.
#[derive(Debug)]
struct Order<K: Eq + Hash> {
    waiting: BTreeSet<(Duration, K)>,
    /// The same, by who it is.
    waits_at: HashMap<K, Duration>,
    /// What each has cost.
    cost: Cache<K, Duration>,
    /// What one has cost that has had its fair share from the beginning. A new one begins with that: with less, those that
    /// come one after the other would keep all others waiting.
    share: Duration,
}

impl<K: Copy + Ord + Hash> Order<K> {
    fn new() -> Self {
        Self {
            waiting: BTreeSet::new(),
            waits_at: HashMap::new(),
            cost: cache(REMEMBERED),
            share: Duration::ZERO,
        }
    }

    /// It waits from now on.
    fn put(&mut self, key: K) {
        let cost = self.cost.get(&key).copied().unwrap_or_default();
        let cost = cost.max(self.share);
        self.cost.put(key, cost);
        self.wait(key, cost);
    }

    fn wait(&mut self, key: K, cost: Duration) {
        self.waits_at.insert(key, cost);
        self.waiting.insert((cost, key));
    }

    /// It waits no more. Whether it did.
    fn remove(&mut self, key: K) -> bool {
        let cost = self.waits_at.remove(&key);
        cost.is_some_and(|cost| self.waiting.remove(&(cost, key)))
    }

    fn first(&self) -> Option<K> {
        self.waiting.first().map(|(_, key)| *key)
    }

    /// What its last answer has cost.
    fn spent(&mut self, key: K, time: Duration) {
        let before = *self.cost.get(&key).unwrap_or(&self.share);
        let cost = before + time;
        self.cost.put(key, cost);
        let waits = self.remove(key);
        if waits {
            self.wait(key, cost);
        }
        let all = self.waiting.len() + usize::from(!waits);
        self.share += time / u32::try_from(all).unwrap_or(u32::MAX);
    }
}

/// Questions that wait, each about a process.
#[derive(Debug)]
pub(super) struct Turns<Q> {
    waiting: HashMap<Pid, (Payer, VecDeque<Q>)>,
    users: Order<Payer>,
    /// The processes of each.
    processes: HashMap<Payer, Order<Pid>>,
    /// How many questions of each wait.
    counts: HashMap<Payer, usize>,
    /// How many may, shared among the users: three times its share of each.
    shared: usize,
}

impl<Q> Turns<Q> {
    /// Nobody waits. So many may, shared among the users.
    pub(super) fn new(shared: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            users: Order::new(),
            processes: HashMap::new(),
            counts: HashMap::new(),
            shared,
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A question about a process waits from now on, behind what was asked about that before, unless its user has three times
    /// its share: who asked could not know yet whose the process is. `payer` says who pays for it, where nothing was asked:
    /// that is returned.
    pub(super) fn put(
        &mut self,
        pid: Pid,
        question: Q,
        payer: impl FnOnce() -> Payer,
    ) -> (Option<Payer>, Result<(), Refused<Q>>) {
        let known = self.waiting.get(&pid).map(|(payer, _)| *payer);
        let payer = known.unwrap_or_else(payer);
        let told = known.is_none().then_some(payer);
        let count = self.counts.get(&payer).copied().unwrap_or(0);
        let users = self.counts.len() + usize::from(count == 0);
        if count >= 3 * self.shared / users && count >= OF_USER {
            return (told, Err(Refused(question)));
        }
        self.counts.insert(payer, count + 1);
        let (_, own) = self
            .waiting
            .entry(pid)
            .or_insert_with(|| (payer, VecDeque::new()));
        own.push_back(question);
        if known.is_none() {
            let own = self.processes.entry(payer).or_insert_with(Order::new);
            if own.waiting.is_empty() {
                self.users.put(payer);
            }
            own.put(pid);
        }
        (told, Ok(()))
    }

    /// The question whose turn it is. What it has cost is said by [`Self::spent`].
    pub(super) fn take(&mut self) -> Option<(Turn, Q)> {
        let payer = self.users.first()?;
        let pid = self.processes.get(&payer)?.first()?;
        let question = self.take_out(pid, |_| true)?;
        Some((Turn { pid, payer }, question))
    }

    /// The question about a process that is wanted out of its turn, if it waits.
    pub(super) fn take_out(&mut self, pid: Pid, is_it: impl Fn(&Q) -> bool) -> Option<Q> {
        let (payer, own) = self.waiting.get_mut(&pid)?;
        let payer = *payer;
        let place = own.iter().position(is_it)?;
        let question = own.remove(place)?;
        if let Entry::Occupied(mut count) = self.counts.entry(payer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if own.is_empty() {
            self.waiting.remove(&pid);
            if let Some(processes) = self.processes.get_mut(&payer) {
                processes.remove(pid);
                if processes.waiting.is_empty() {
                    self.users.remove(payer);
                }
            }
        }
        Some(question)
    }

    /// What the last question of a turn has cost.
    pub(super) fn spent(&mut self, turn: Turn, time: Duration) {
        self.users.spent(turn.payer, time);
        if let Some(processes) = self.processes.get_mut(&turn.payer) {
            processes.spent(turn.pid, time);
        }
        self.forget();
    }

    /// Forgets users of whom nothing waits, when there are many.
    fn forget(&mut self) {
        if self.processes.len() > REMEMBERED {
            self.processes
                .retain(|_, processes| !processes.waiting.is_empty());
        }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The process that the question is about.
    pub(super) pid: Pid,
    payer: Payer,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Pid = Pid(1);
    const OWNER: Payer = Payer::User(7);
    const STRANGER: Payer = Payer::User(8);

    /// Whose question each turn answers; one of [`SLOW`] takes a second, one of others a millisecond.
    fn served(turns: &mut Turns<u32>, most: usize) -> Vec<(Pid, u32)> {
        let mut all = Vec::new();
        while all.len() < most
            && let Some((turn, question)) = turns.take()
        {
            all.push((turn.pid, question));
            let cost = if turn.pid == SLOW { 1000 } else { 1 };
            turns.spent(turn, Duration::from_millis(cost));
        }
        all
    }

    fn asked(turns: &mut Turns<u32>, pid: Pid, count: u32) {
        for question in 0..count {
            assert!(turns.put(pid, question, || OWNER).1.is_ok());
        }
    }

    #[test]
    fn what_was_asked_about_a_process_is_answered_in_order() {
        let mut turns = Turns::new(1024);
        asked(&mut turns, Pid(7), 3);
        assert!(!turns.is_empty());
        let expected = [0, 1, 2].map(|question| (Pid(7), question));
        assert_eq!(served(&mut turns, 9), expected);
        assert!(turns.is_empty() && turns.waiting.is_empty());
    }

    #[test]
    fn one_can_be_taken_out_of_its_turn() {
        let mut turns = Turns::new(1024);
        asked(&mut turns, Pid(7), 3);
        asked(&mut turns, Pid(8), 1);
        assert_eq!(turns.take_out(Pid(7), |question| *question == 1), Some(1));
        assert_eq!(turns.take_out(Pid(7), |question| *question == 1), None);
        assert_eq!(turns.take_out(Pid(8), |_| true), Some(0));
        assert_eq!(turns.take_out(Pid(9), |_| true), None);
        assert_eq!(served(&mut turns, 9), [(Pid(7), 0), (Pid(7), 2)]);
        assert!(turns.is_empty());
    }

    #[test]
    fn a_slow_one_that_asks_much_waits_for_the_others() {
        let mut turns = Turns::new(1024);
        asked(&mut turns, SLOW, 1000);
        asked(&mut turns, Pid(2), 500);
        asked(&mut turns, Pid(3), 500);
        let first = served(&mut turns, 1001);
        let slow = first.iter().filter(|(pid, _)| *pid == SLOW).count();
        assert_eq!(slow, 1, "the others have had half a second each");
        let rest = served(&mut turns, 1000);
        assert_eq!(rest.len(), 999, "its turn comes");
    }

    #[test]
    fn who_asks_one_question_at_a_time_is_remembered() {
        let mut turns = Turns::new(1024);
        asked(&mut turns, SLOW, 1);
        asked(&mut turns, Pid(2), 1500);
        served(&mut turns, 1);
        assert!(turns.put(SLOW, 1, || OWNER).1.is_ok());
        let all = served(&mut turns, 900);
        assert!(all.iter().all(|(pid, _)| *pid == Pid(2)));
        let rest = served(&mut turns, 1000);
        assert!(rest.contains(&(SLOW, 1)));
    }

    #[test]
    fn those_that_are_started_anew_do_not_keep_others_waiting() {
        let mut turns = Turns::new(1024);
        asked(&mut turns, SLOW, 2);
        asked(&mut turns, Pid(2), 1);
        served(&mut turns, 2);
        for pid in 10..5000 {
            asked(&mut turns, Pid(pid), 1);
            if served(&mut turns, 1)[0].0 == SLOW {
                return;
            }
        }
        panic!("its turn never came");
    }
    #[test]
    fn who_starts_many_processes_has_the_time_of_one_user() {
        let mut turns = Turns::new(1024);
        for pid in 100..1100 {
            assert!(turns.put(Pid(pid), 0, || STRANGER).1.is_ok());
        }
        for question in 0..100 {
            assert!(turns.put(Pid(2), question, || OWNER).1.is_ok());
        }
        let first = served(&mut turns, 100);
        let own = first.iter().filter(|(pid, _)| *pid == Pid(2)).count();
        assert_eq!(own, 50);
        // A new one of theirs begins with what their user has had.
        assert!(turns.put(Pid(5000), 0, || STRANGER).1.is_ok());
        let then = served(&mut turns, 100);
        let own = then.iter().filter(|(pid, _)| *pid == Pid(2)).count();
        assert_eq!(own, 50);
        let rest = served(&mut turns, 9999);
        assert_eq!(rest.len(), 1001 - 100 + 100 - 100);
        assert!(turns.is_empty() && turns.users.waiting.is_empty());
    }

    /// Whoever asked could not know that they are all one user's.
    #[test]
    fn who_has_too_many_that_wait_is_refused_more_and_others_are_not() {
        let mut turns = Turns::new(100);
        let put = |turns: &mut Turns<u32>, pid, payer| {
            let (told, put) = turns.put(Pid(pid), 0, || payer);
            assert!(told.is_none_or(|told| told == payer));
            put.is_ok()
        };
        let alone = (1000..2000).filter(|&pid| put(&mut turns, pid, STRANGER));
        assert_eq!(alone.count(), 300);
        assert_eq!(
            turns.put(Pid(3000), 7, || STRANGER),
            (Some(STRANGER), Err(Refused(7)))
        );
        let own = (0..1000).filter(|_| put(&mut turns, 2, OWNER));
        assert_eq!(own.count(), 150);
        assert!(!put(&mut turns, 3000, STRANGER));
        // Each has its turn, until less than half of it is the stranger's.
        assert_eq!(served(&mut turns, 440).len(), 440);
        assert!(put(&mut turns, 3000, STRANGER));
        served(&mut turns, 1000);
        assert!(turns.is_empty() && turns.counts.is_empty());
        // However many there are, each has a few.
        for user in 100..400 {
            assert!((0..OF_USER).all(|_| put(&mut turns, user, Payer::User(user))));
        }
    }
}
