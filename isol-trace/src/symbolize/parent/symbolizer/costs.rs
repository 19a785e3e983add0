//! What it costs to read files: one whose places, or whose part of a stack, take long each keeps all others waiting, and
//! never ends the symbolizer. Who pays is who runs it ([`super::bars`]).

use std::{
    hash::Hash,
    time::{Duration, Instant},
};

use super::bars::{Use, Users};
use crate::symbolize::shared::{protocol::Payer, shared_table::SharedTable};

/// What a question is about, for what it may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A place, which is remembered.
    Place,
    /// A stack. Each is unwound anew, and before any place is looked up.
    Stack,
}

impl Kind {
    /// How much of a question's time on a CPU counts for a file. The rest is free: with a hundred places of 50 ms, others
    /// have their turn in between; the part of a file in a stack takes microseconds.
    pub(super) fn over(self, time: Duration) -> Duration {
        let free = match self {
            Self::Place => Duration::from_millis(50),
            Self::Stack => Duration::from_micros(200),
        };
        time.saturating_sub(free)
    }
}

/// What a file may take on top of that, at once. The first place of a program of 1.3 GB takes half of it, in a build that
/// is not optimised.
const FILE: Duration = Duration::from_secs(5);

/// The same for all files of a user in the processes of one.
const USER: Duration = Duration::from_secs(20);

/// The part of the time that passes which may be taken for good.
const SHARE: u32 = 10;

/// Files and users that are remembered. Where there are more, the payer with the most begins anew with some.
const REMEMBERED: usize = 4096;

/// Time that was taken, less the share of the time that passed since.
#[derive(Clone, Copy, Debug)]
struct Taken {
    time: Duration,
    at: Instant,
}

/// What was taken by files and by users.
#[derive(Debug)]
pub(super) struct Costs {
    files: SharedTable<Use, Taken>,
    users: SharedTable<Users, Taken>,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            files: SharedTable::new(REMEMBERED),
            users: SharedTable::new(REMEMBERED),
        }
    }
}

impl Costs {
    /// So much time on a CPU counts for a file ([`Kind::over`]). Whether that is too much.
    pub(super) fn add(&mut self, of: Use, time: Duration, now: Instant) -> bool {
        if time.is_zero() || of.is_roots() {
            return false;
        }
        let of_file = add(&mut self.files, of, of.payer, time, now);
        let of_user = add(&mut self.users, of.users(), of.payer, time, now);
        of_file > FILE || of_user > USER
    }

    /// What a file has taken.
    #[cfg(test)]
    pub(super) fn of(&self, of: Use) -> Duration {
        let taken = self.files.peek(&of);
        taken.map_or(Duration::ZERO, |taken| taken.time)
    }
}

fn add<K: Copy + Eq + Hash>(
    all: &mut SharedTable<K, Taken>,
    key: K,
    payer: Payer,
    time: Duration,
    now: Instant,
) -> Duration {
    let left = all.get(&key, payer).map_or(Duration::ZERO, |taken| {
        let passed = now.duration_since(taken.at);
        taken.time.saturating_sub(passed / SHARE)
    });
    let time = left + time;
    all.insert(key, Taken { time, at: now }, payer);
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64, user: u32) -> Use {
        Use::own((0, 1), inode, user)
    }

    /// How many places of a file may take so long, one after the other, with so much time between.
    fn allowed(costs: &mut Costs, of: Use, takes: Duration, pause: Duration) -> usize {
        let mut now = Instant::now();
        (0..1000)
            .take_while(|_| {
                now += takes + pause;
                !costs.add(of, Kind::Place.over(takes), now)
            })
            .count()
    }

    #[test]
    fn a_file_that_is_slow_each_time_is_too_much_and_one_that_begins_slowly_is_not() {
        let none = Duration::ZERO;
        let (honest, slow) = (file(1, 7), file(2, 7));
        let mut costs = Costs::default();
        let now = Instant::now();
        assert!(!costs.add(honest, Duration::from_millis(2400), now));
        let free = Duration::from_millis(50);
        assert_eq!(allowed(&mut costs, honest, free, none), 1000);
        let more = free + Duration::from_nanos(1);
        assert_eq!(Kind::Place.over(more), Duration::from_nanos(1));
        let takes = Duration::from_millis(250);
        let count = allowed(&mut costs, slow, takes, none);
        assert!((25..35).contains(&count), "{count}");
        // A tenth of the time is its own.
        let mut costs = Costs::default();
        assert_eq!(allowed(&mut costs, slow, takes, 10 * takes), 1000);
        let roots = file(3, 0);
        assert_eq!(allowed(&mut costs, roots, takes, none), 1000);
    }

    #[test]
    fn who_makes_many_slow_files_has_a_limit_for_all() {
        let mut costs = Costs::default();
        let now = Instant::now();
        let takes = Duration::from_secs(1);
        let first = (0..1000).find(|&inode| costs.add(file(inode, 7), takes, now));
        assert_eq!(first, Some(20), "each second counts");
        assert!(!costs.add(file(2000, 8), takes, now), "others have theirs");
    }
    /// Anybody may run anybody's program, in many mount namespaces, and has it read anew in each.
    #[test]
    fn who_runs_a_file_pays_and_nobody_else() {
        let takes = Duration::from_secs(1);
        for user in [7, 0] {
            let program = file(1, user);
            let stranger = Use {
                payer: Payer::User(8),
                ..program
            };
            let mut costs = Costs::default();
            assert_eq!(allowed(&mut costs, stranger, takes, Duration::ZERO), 5);
            let now = Instant::now();
            assert!(!costs.add(program, takes, now), "of user {user}");
            let unknown = Use {
                payer: Payer::Unknown,
                ..program
            };
            assert!(!costs.add(unknown, takes, now), "of user {user}");
        }
    }

    /// A stack's part in each of thousands of files counts as soon as it takes more than nothing.
    #[test]
    fn what_one_has_taken_is_remembered_however_many_files_others_have() {
        let mut costs = Costs::default();
        let now = Instant::now();
        costs.add(file(1, 7), Duration::from_secs(4), now);
        for inode in 10..3 * REMEMBERED as u64 {
            costs.add(file(inode, 8), Duration::from_nanos(1), now);
        }
        assert!(costs.add(file(1, 7), Duration::from_secs(2), now));
    }
}
