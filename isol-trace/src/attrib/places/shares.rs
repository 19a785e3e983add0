//! How many questions may be open, shared among the processes that they are about.

use std::collections::{HashMap, hash_map::Entry};

use crate::event::ids::Pid;

/// Questions that may be open about a process, however many processes there are.
const LEAST: usize = 4;

/// Questions that are open, and about whom.
#[derive(Debug)]
pub(super) struct Shares {
    /// How many may be open, shared among the processes that have any.
    shared: usize,
    /// How many may be open in all: what one process has before others come is not taken back.
    most: usize,
    open: usize,
    of: HashMap<Pid, usize>,
}

impl Shares {
    /// None is open.
    pub(super) fn new(shared: usize, most: usize) -> Self {
        Self {
            shared,
            most,
            open: 0,
            of: HashMap::new(),
        }
    }

    /// Whether one more may be open about a process: it has its share.
    pub(super) fn has_room(&self, pid: Pid) -> bool {
        let own = self.of.get(&pid).copied().unwrap_or(0);
        let processes = self.of.len() + usize::from(own == 0);
        own < (self.shared / processes).max(LEAST) && self.open < self.most
    }

    /// One more is open.
    pub(super) fn open(&mut self, pid: Pid) {
        self.open += 1;
        *self.of.entry(pid).or_default() += 1;
    }

    /// One is no longer.
    pub(super) fn close(&mut self, pid: Pid) {
        let Entry::Occupied(mut own) = self.of.entry(pid) else {
            return;
        };
        self.open -= 1;
        *own.get_mut() -= 1;
        if *own.get() == 0 {
            own.remove();
        }
    }

    /// How many are open about a process.
    #[cfg(test)]
    pub(super) fn of(&self, pid: Pid) -> usize {
        self.of.get(&pid).copied().unwrap_or(0)
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) const fn all(&self) -> usize {
        self.open
    }

    /// None is any more.
    pub(super) fn clear(&mut self) {
        self.open = 0;
        self.of.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many a process can open.
    fn opened(shares: &mut Shares, pid: u32) -> usize {
        let mut count = 0;
        while shares.has_room(Pid(pid)) {
            shares.open(Pid(pid));
            count += 1;
        }
        count
    }

    #[test]
    fn who_comes_later_has_its_share() {
        let mut shares = Shares::new(100, 200);
        assert_eq!(opened(&mut shares, 1), 100);
        assert_eq!(opened(&mut shares, 2), 50);
        assert_eq!(opened(&mut shares, 3), 33);
        shares.close(Pid(2));
        assert!(!shares.has_room(Pid(2)), "it has more than a third");
        assert_eq!(opened(&mut shares, 4), 18, "no more in all");
        (0..100).for_each(|_| shares.close(Pid(1)));
        assert_eq!(opened(&mut shares, 1), 25);
        shares.clear();
        assert_eq!(opened(&mut shares, 5), 100);
    }

    #[test]
    fn of_many_each_has_a_few() {
        let mut shares = Shares::new(100, 1000);
        (0..100).for_each(|pid| assert!(opened(&mut shares, pid) >= LEAST));
        shares.close(Pid(200));
        assert!(opened(&mut shares, 200) >= LEAST, "nothing was closed");
    }
}
