//! What waits for its names, in order, while the rings are read on.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many may wait; beyond that the first goes without its names.
const ROOM: usize = 1024;

/// A queue whose first item leaves once it is ready, or was there for too long.
#[derive(Debug)]
pub(super) struct Hold<T> {
    waiting: VecDeque<(Deadline, T)>,
}

/// When something has waited long enough.
type Deadline = Instant;

impl<T> Hold<T> {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }

    /// Puts something behind all the others, to wait for so long at most: names that take longer
    /// are absent.
    pub(super) fn put(&mut self, now: Instant, patience: Duration, item: T) {
        self.waiting.push_back((now + patience, item));
    }

    /// Takes the first, if it need not wait any longer.
    pub(super) fn next(&mut self, now: Instant, ready: impl FnOnce(&T) -> bool) -> Option<T> {
        let (deadline, first) = self.waiting.front()?;
        // Asked first: whoever is asked takes what has come meanwhile.
        let may_go = ready(first) || self.waiting.len() > ROOM || now >= *deadline;
        if !may_go {
            return None;
        }
        self.waiting.pop_front().map(|(_, first)| first)
    }

    /// Takes the first, however long it has waited.
    pub(super) fn first(&mut self) -> Option<T> {
        self.waiting.pop_front().map(|(_, first)| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(25);

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
        hold.put(start + PATIENCE / 2, PATIENCE, 7);
        let late = start + PATIENCE;
        assert_eq!(leave(&mut hold, late), [5, 6], "7 came later");
        assert_eq!(leave(&mut hold, late + PATIENCE / 2), [7]);
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
}
