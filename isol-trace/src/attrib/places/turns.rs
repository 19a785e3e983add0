//! Whose question is next: that of the process whose answers have cost the least so far.
//!
//! A process whose file takes seconds to read has to wait until the others have had as much. So it cannot keep the others'
//! questions from being answered, however many it asks.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::{attrib::cache::Cache, event::ids::Pid};

/// Processes whose cost is remembered while they ask nothing, in each of two generations.
const REMEMBERED: usize = 1024;

/// Questions that wait, each about a process.
#[derive(Debug)]
pub(super) struct Turns<Q> {
    waiting: HashMap<Pid, VecDeque<Q>>,
    /// The processes that wait, by their cost.
    order: BTreeSet<(Duration, Pid)>,
    /// What each process has cost.
    cost: Cache<Pid, Duration>,
    /// What a process has cost that has had its fair share from the beginning. A new one begins with that: with less,
    /// those that are started one after the other would keep all others waiting.
    share: Duration,
}

impl<Q> Turns<Q> {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        Self {
            waiting: HashMap::new(),
            order: BTreeSet::new(),
            cost: Cache::new(REMEMBERED),
            share: Duration::ZERO,
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// A question about a process waits from now on, behind what was asked about that before.
    pub(super) fn put(&mut self, pid: Pid, question: Q) {
        let own = self.waiting.entry(pid).or_default();
        if own.is_empty() {
            let cost = self.cost.get(&pid).unwrap_or_default().max(self.share);
            self.cost.insert(pid, cost);
            self.order.insert((cost, pid));
        }
        own.push_back(question);
    }

    /// The question whose turn it is. What it has cost is said by [`Self::spent`].
    pub(super) fn take(&mut self) -> Option<(Pid, Q)> {
        let (cost, pid) = self.order.pop_first()?;
        let own = self.waiting.get_mut(&pid)?;
        let question = own.pop_front()?;
        if own.is_empty() {
            self.waiting.remove(&pid);
        } else {
            self.order.insert((cost, pid));
        }
        self.cost.insert(pid, cost);
        Some((pid, question))
    }

    /// The question about a process that is wanted out of its turn, if it waits.
    pub(super) fn take_out(&mut self, pid: Pid, is_it: impl Fn(&Q) -> bool) -> Option<Q> {
        let own = self.waiting.get_mut(&pid)?;
        let place = own.iter().position(is_it)?;
        let question = own.remove(place)?;
        if own.is_empty() {
            self.waiting.remove(&pid);
            let cost = self.cost.get(&pid).unwrap_or(self.share);
            self.order.remove(&(cost, pid));
        }
        Some(question)
    }

    /// What the last question about a process has cost.
    pub(super) fn spent(&mut self, pid: Pid, time: Duration) {
        let before = self.cost.get(&pid).unwrap_or(self.share);
        let cost = before + time;
        self.cost.insert(pid, cost);
        if self.order.remove(&(before, pid)) {
            self.order.insert((cost, pid));
        }
        let all = self.waiting.len() + usize::from(!self.waiting.contains_key(&pid));
        self.share += time / u32::try_from(all).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Pid = Pid(1);

    /// Whose question each turn answers; one of [`SLOW`] takes a second, one of others a millisecond.
    fn served(turns: &mut Turns<u32>, most: usize) -> Vec<(Pid, u32)> {
        let mut all = Vec::new();
        while all.len() < most
            && let Some((pid, question)) = turns.take()
        {
            all.push((pid, question));
            let cost = if pid == SLOW { 1000 } else { 1 };
            turns.spent(pid, Duration::from_millis(cost));
        }
        all
    }

    fn asked(turns: &mut Turns<u32>, pid: Pid, count: u32) {
        (0..count).for_each(|question| turns.put(pid, question));
    }

    #[test]
    fn what_was_asked_about_a_process_is_answered_in_order() {
        let mut turns = Turns::new();
        asked(&mut turns, Pid(7), 3);
        assert!(!turns.is_empty());
        let expected = [0, 1, 2].map(|question| (Pid(7), question));
        assert_eq!(served(&mut turns, 9), expected);
        assert!(turns.is_empty() && turns.waiting.is_empty());
    }

    #[test]
    fn one_can_be_taken_out_of_its_turn() {
        let mut turns = Turns::new();
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
        let mut turns = Turns::new();
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
        let mut turns = Turns::new();
        turns.put(SLOW, 0);
        asked(&mut turns, Pid(2), 1500);
        served(&mut turns, 1);
        turns.put(SLOW, 1);
        let all = served(&mut turns, 900);
        assert!(all.iter().all(|(pid, _)| *pid == Pid(2)));
        let rest = served(&mut turns, 1000);
        assert!(rest.contains(&(SLOW, 1)));
    }

    #[test]
    fn those_that_are_started_anew_do_not_keep_others_waiting() {
        let mut turns = Turns::new();
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
}
