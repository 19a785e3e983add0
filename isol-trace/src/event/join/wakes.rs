//! The last wake-ups by thread. They are never answered: not every one leads to a switch.

use std::collections::{HashMap, VecDeque};

use super::{end_of, same};
use crate::event::model::{Breach, Sender};

/// Woken threads that are remembered; beyond that the list starts anew.
pub(super) const MAX_WOKEN: usize = 4096;

/// Wake-ups of a thread that are remembered.
const WAKES: usize = 4;

/// Who woke whom.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_thread: HashMap<u64, VecDeque<Box<Sender>>>,
}

impl Wakes {
    /// Threads that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_thread.len()
    }

    /// Remembers who woke a thread.
    pub(super) fn put(&mut self, thread: u64, sender: Box<Sender>) {
        if self.by_thread.len() >= MAX_WOKEN {
            self.by_thread.clear();
        }
        let queue = self.by_thread.entry(thread).or_default();
        let place = queue.partition_point(|earlier| earlier.at <= sender.at);
        queue.insert(place, sender);
        while queue.len() > WAKES {
            queue.pop_front();
        }
    }

    /// Who woke a thread before it ran in this entry. `None` where it is not known which.
    pub(super) fn waker(&self, thread: u32, breach: &Breach) -> Option<Box<Sender>> {
        let queue = self.by_thread.get(&u64::from(thread))?;
        let possible = queue.partition_point(|sender| sender.at <= end_of(breach));
        let mut before = queue.iter().take(possible).rev();
        let last = before.next()?;
        let mut within = before.take_while(|sender| sender.at >= breach.at);
        let one = within.all(|sender| same(sender, last));
        one.then(|| last.clone())
    }
}
