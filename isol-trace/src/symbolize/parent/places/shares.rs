//! How many questions may be open, shared among the users who pay for them, and of each user among the processes that they
//! are about.

use std::collections::{HashMap, hash_map::Entry};

use crate::{
    cache::{Cache, cache},
    event::ids::Pid,
    symbolize::shared::protocol::Payer,
};

/// Questions that may be open of a user, however many users there are.
pub(super) const OF_USER: usize = 16;

/// Questions that may be open about a process, however many processes its user has, as long as that one has no more than
/// three times its share.
const OF_PROCESS: usize = 4;

/// Processes of whom it is remembered who pays.
const REMEMBERED: usize = 8192;

/// Questions that are open, and about whom.
#[derive(Debug)]
pub(super) struct Shares {
    /// How many may be open, shared among the users who have any. Who has its share may have more while there are fewer than
    /// four times as many in all: what one has before others come is not taken back.
    shared: usize,
    open: usize,
    processes: HashMap<Pid, OfProcess>,
    users: HashMap<Payer, OfUser>,
    /// Who pays, as far as the symbols' thread has found that out. All others are counted as one user.
    known: Cache<Pid, Payer>,
}

/// What is open about a process.
#[derive(Clone, Copy, Debug)]
struct OfProcess {
    /// As whose it is counted.
    payer: Payer,
    open: usize,
}

/// What is open about the processes of a user.
#[derive(Clone, Copy, Debug, Default)]
struct OfUser {
    processes: usize,
    open: usize,
}

impl Shares {
    /// None is open; so many may be, shared among the users.
    pub(super) fn new(shared: usize) -> Self {
        Self {
            shared,
            open: 0,
            processes: HashMap::new(),
            users: HashMap::new(),
            known: cache(REMEMBERED),
        }
    }

    /// Who pays for what is asked about a process, as far as that is known.
    pub(super) fn payer(&self, pid: Pid) -> Payer {
        match self.processes.get(&pid) {
            Some(own) => own.payer,
            None => self.known.peek(&pid).copied().unwrap_or(Payer::Unknown),
        }
    }

    /// It was found out who pays for what is asked about a process.
    pub(super) fn belongs(&mut self, pid: Pid, payer: Payer) {
        self.known.put(pid, payer);
        let Some(own) = self.processes.get_mut(&pid) else {
            return;
        };
        let OfProcess {
            payer: before,
            open,
        } = *own;
        own.payer = payer;
        self.take_from(before, 1, open);
        let user = self.users.entry(payer).or_default();
        user.processes += 1;
        user.open += open;
    }

    /// Whether one more may be open about a process: it has its share.
    pub(super) fn has_room(&self, pid: Pid) -> bool {
        let own = self.processes.get(&pid).map_or(0, |own| own.open);
        let payer = self.payer(pid);
        let user = self.users.get(&payer).copied();
        let users = self.users.len() + usize::from(user.is_none());
        let user = user.unwrap_or_default();
        let share = self.shared / users;
        let of_process = share / (user.processes + usize::from(own == 0));
        let has_share = (own < of_process && user.open < 2 * share)
            || (own < OF_PROCESS && user.open < 3 * share);
        // What others have is no reason to refuse somebody who has less than its share. Those of whom nobody can say are
        // somebody's who may have more.
        let is_within = payer != Payer::Unknown && user.open < share;
        let has_room = is_within || self.open < 4 * self.shared;
        user.open < OF_USER || (has_share && has_room)
    }

    /// One more is open.
    pub(super) fn open(&mut self, pid: Pid) {
        let payer = self.payer(pid);
        self.open += 1;
        let user = self.users.entry(payer).or_default();
        user.open += 1;
        match self.processes.entry(pid) {
            Entry::Occupied(mut own) => own.get_mut().open += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(OfProcess { payer, open: 1 });
                user.processes += 1;
            }
        }
    }

    /// One is no longer.
    pub(super) fn close(&mut self, pid: Pid) {
        let Entry::Occupied(mut own) = self.processes.entry(pid) else {
            return;
        };
        self.open -= 1;
        own.get_mut().open -= 1;
        let OfProcess { payer, open } = *own.get();
        if open == 0 {
            own.remove();
        }
        self.take_from(payer, usize::from(open == 0), 1);
    }

    /// A user has so many processes and questions less.
    fn take_from(&mut self, payer: Payer, processes: usize, open: usize) {
        let Entry::Occupied(mut user) = self.users.entry(payer) else {
            return;
        };
        let of = user.get_mut();
        of.processes -= processes;
        of.open -= open;
        if of.processes == 0 {
            user.remove();
        }
    }

    /// How many are open about a process.
    #[cfg(test)]
    pub(super) fn of(&self, pid: Pid) -> usize {
        self.processes.get(&pid).map_or(0, |own| own.open)
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) const fn all(&self) -> usize {
        self.open
    }

    /// None is any more.
    pub(super) fn clear(&mut self) {
        self.open = 0;
        self.processes.clear();
        self.users.clear();
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

    /// As many, where each process is a user's of its own.
    fn opened_by(shares: &mut Shares, user: u32) -> usize {
        shares.belongs(Pid(user), Payer::User(user));
        opened(shares, user)
    }

    #[test]
    fn who_comes_later_has_its_share() {
        let mut shares = Shares::new(100);
        assert_eq!(opened_by(&mut shares, 1), 100);
        assert_eq!(opened_by(&mut shares, 2), 50);
        assert_eq!(opened_by(&mut shares, 3), 33);
        shares.close(Pid(2));
        assert!(!shares.has_room(Pid(2)), "it has more than a third");
        (0..100).for_each(|_| shares.close(Pid(1)));
        assert_eq!(opened_by(&mut shares, 1), 33);
        shares.clear();
        assert_eq!(opened_by(&mut shares, 5), 100);
        assert!(shares.users.len() == 1 && shares.processes.len() == 1);
    }

    #[test]
    fn of_a_users_processes_each_has_its_share_of_that() {
        let mut shares = Shares::new(100);
        let all: Vec<_> = (1..=5).map(|pid| opened(&mut shares, pid)).collect();
        assert_eq!(all, [100, 50, 33, 17, 4], "no more than twice its own");
        let few: usize = (10..200).map(|pid| opened(&mut shares, pid)).sum();
        assert_eq!(few, 300 - 204, "and three times for a few of each");
    }

    /// A thousand processes with four questions each were all that may be open.
    #[test]
    fn who_starts_many_processes_leaves_others_their_share() {
        let mut shares = Shares::new(1024);
        let (owner, stranger) = (Payer::User(7), Payer::User(8));
        for pid in 1000..3000 {
            shares.belongs(Pid(pid), stranger);
            opened(&mut shares, pid);
        }
        shares.belongs(Pid(1), owner);
        assert_eq!(opened(&mut shares, 1), 512);
        // Nobody knows yet whose these are.
        for pid in 3000..5000 {
            opened(&mut shares, pid);
        }
        shares.belongs(Pid(2), Payer::User(9));
        assert!(opened(&mut shares, 2) >= OF_USER);
    }

    /// What is asked before that is known is one user's then, who may have more than its share by that.
    #[test]
    fn who_has_more_than_there_is_room_for_leaves_others_their_share() {
        let mut shares = Shares::new(1024);
        let (owner, stranger) = (Payer::User(7), Payer::User(8));
        for pid in 1000..9000 {
            opened(&mut shares, pid);
            shares.belongs(Pid(pid), stranger);
        }
        assert!(shares.all() >= 4 * 1024);
        shares.belongs(Pid(1), owner);
        assert_eq!(opened(&mut shares, 1), 512);
        assert!(!shares.has_room(Pid(1)), "there is no room for more");
        assert!(opened(&mut shares, 2) > 0, "of whom nobody can say");
    }

    #[test]
    fn it_is_found_out_later_whose_a_process_is() {
        let mut shares = Shares::new(64);
        for pid in 1..=100 {
            opened(&mut shares, pid);
        }
        assert!(!shares.has_room(Pid(200)), "as one of these");
        let all = shares.all();
        for pid in 1..=100 {
            shares.belongs(Pid(pid), Payer::User(8));
        }
        assert!(shares.has_room(Pid(200)), "it is none of these");
        assert_eq!(shares.payer(Pid(1)), Payer::User(8));
        assert_eq!((shares.all(), shares.users.len()), (all, 1));
        for pid in 1..=100 {
            (0..shares.of(Pid(pid))).for_each(|_| shares.close(Pid(pid)));
        }
        assert!(shares.users.is_empty() && shares.all() == 0);
        assert_eq!(shares.payer(Pid(1)), Payer::User(8), "it is remembered");
    }

    #[test]
    fn what_was_never_open_is_not_closed() {
        let mut shares = Shares::new(100);
        shares.close(Pid(200));
        assert_eq!(opened(&mut shares, 200), 100);
    }
}
