//! The reorder buffer: events whose names are still looked up, and those behind them. They leave in the order in which
//! they came.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long an event is waited for, and while how many wait: beyond either it goes without its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// From when it came.
    pub(super) time: Duration,
    /// Events in the buffer, itself included.
    pub(super) capacity: usize,
}

/// A queue whose first item leaves once it is ready, or was there for too long.
#[derive(Debug)]
pub(super) struct ReorderBuffer<T> {
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    deadline: Instant,
    capacity: usize,
    item: T,
}

impl<T> ReorderBuffer<T> {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }

    /// Puts something behind all the others.
    pub(super) fn push(&mut self, now: Instant, limits: Limits, item: T) {
        self.waiting.push_back(Waiting {
            deadline: now + limits.time,
            capacity: limits.capacity,
            item,
        });
    }

    /// Takes the first, if it need not wait any longer.
    pub(super) fn pop_ready(&mut self, now: Instant, ready: impl FnOnce(&T) -> bool) -> Option<T> {
        let first = self.waiting.front()?;
        // Asked first: whoever is asked takes what has come meanwhile.
        let may_go =
            ready(&first.item) || self.waiting.len() > first.capacity || now >= first.deadline;
        if !may_go {
            return None;
        }
        self.waiting.pop_front().map(|first| first.item)
    }

    /// Takes the first, however long it has waited.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.waiting.pop_front().map(|first| first.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(25);
    const CAPACITY: usize = 100;
    const LIMITS: Limits = Limits {
        time: TIME,
        capacity: CAPACITY,
    };

    /// All that leave at a moment, where even numbers are ready.
    fn leave(buffer: &mut ReorderBuffer<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| buffer.pop_ready(now, |item| item % 2 == 0)).collect()
    }

    #[test]
    fn what_is_ready_leaves_at_once_and_never_before_what_came_first() {
        let (mut buffer, start) = (ReorderBuffer::new(), Instant::now());
        for item in [2, 4, 5, 6] {
            buffer.push(start, LIMITS, item);
        }
        assert_eq!(leave(&mut buffer, start), [2, 4]);
        assert_eq!(leave(&mut buffer, start), [0; 0], "6 waits for 5");
        buffer.push(start + TIME / 2, LIMITS, 7);
        let late = start + TIME;
        assert_eq!(leave(&mut buffer, late), [5, 6], "7 came later");
        assert_eq!(leave(&mut buffer, late + TIME / 2), [7]);
    }

    #[test]
    fn those_that_wait_are_bounded() {
        let (mut buffer, now) = (ReorderBuffer::new(), Instant::now());
        for _ in 0..CAPACITY + 10 {
            buffer.push(now, LIMITS, 1);
        }
        assert_eq!(leave(&mut buffer, now).len(), 10);
        assert_eq!(std::iter::from_fn(|| buffer.pop()).count(), CAPACITY);
    }

    #[test]
    fn what_is_worth_more_is_waited_for_while_more_wait() {
        let (mut buffer, now) = (ReorderBuffer::new(), Instant::now());
        let long = Limits {
            time: TIME * 10,
            capacity: CAPACITY * 10,
        };
        buffer.push(now, long, 1);
        for _ in 0..CAPACITY * 2 {
            buffer.push(now, LIMITS, 3);
        }
        assert_eq!(leave(&mut buffer, now + TIME * 2), [0; 0]);
        assert_eq!(leave(&mut buffer, now + TIME * 10).len(), 1 + CAPACITY * 2);
    }
}
