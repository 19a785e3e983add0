//! What waits for its names, in order, while the rings are read on.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long an item is waited for, and while how many others wait behind it: beyond either it goes
/// without its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// How long.
    pub(super) time: Duration,
    /// How many may wait, itself included.
    pub(super) room: usize,
}

/// A queue whose first item leaves once it is ready, or was there for too long.
#[derive(Debug)]
pub(super) struct Hold<T> {
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    deadline: Instant,
    room: usize,
    item: T,
}

impl<T> Hold<T> {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }

    /// Puts something behind all the others.
    pub(super) fn put(&mut self, now: Instant, patience: Patience, item: T) {
        self.waiting.push_back(Waiting {
            deadline: now + patience.time,
            room: patience.room,
            item,
        });
    }

    /// Takes the first, if it need not wait any longer.
    pub(super) fn next(&mut self, now: Instant, ready: impl FnOnce(&T) -> bool) -> Option<T> {
        let first = self.waiting.front()?;
        // Asked first: whoever is asked takes what has come meanwhile.
        let may_go = ready(&first.item) || self.waiting.len() > first.room || now >= first.deadline;
        if !may_go {
            return None;
        }
        self.waiting.pop_front().map(|first| first.item)
    }

    /// Takes the first, however long it has waited.
    pub(super) fn first(&mut self) -> Option<T> {
        self.waiting.pop_front().map(|first| first.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(25);
    const ROOM: usize = 100;
    const PATIENCE: Patience = Patience {
        time: TIME,
        room: ROOM,
    };

    /// All that leave at a moment, where even numbers are ready.
    fn leave(hold: &mut Hold<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| hold.next(now, |item| item % 2 == 0)).collect()
    }

    #[test]
    fn what_is_ready_leaves_at_once_and_never_before_what_came_first() {
        let (mut hold, start) = (Hold::new(), Instant::now());
        for item in [2, 4, 5, 6] {
            hold.put(start, PATIENCE, item);
        }
        assert_eq!(leave(&mut hold, start), [2, 4]);
        assert_eq!(leave(&mut hold, start), [0; 0], "6 waits for 5");
        hold.put(start + TIME / 2, PATIENCE, 7);
        let late = start + TIME;
        assert_eq!(leave(&mut hold, late), [5, 6], "7 came later");
        assert_eq!(leave(&mut hold, late + TIME / 2), [7]);
    }

    #[test]
    fn those_that_wait_are_bounded() {
        let (mut hold, now) = (Hold::new(), Instant::now());
        for _ in 0..ROOM + 10 {
            hold.put(now, PATIENCE, 1);
        }
        assert_eq!(leave(&mut hold, now).len(), 10);
        assert_eq!(std::iter::from_fn(|| hold.first()).count(), ROOM);
    }

    #[test]
    fn what_is_worth_more_is_waited_for_while_more_wait() {
        let (mut hold, now) = (Hold::new(), Instant::now());
        let long = Patience {
            time: TIME * 10,
            room: ROOM * 10,
        };
        hold.put(now, long, 1);
        for _ in 0..ROOM * 2 {
            hold.put(now, PATIENCE, 3);
        }
        assert_eq!(leave(&mut hold, now + TIME * 2), [0; 0]);
        assert_eq!(leave(&mut hold, now + TIME * 10).len(), 1 + ROOM * 2);
    }
}
