//! Files that are not read any more, because reading them ended the symbolizer.
//!
//! Who pays is the user whose process had the file mapped ([`Payer`]): that file is barred in the processes of this user.
//! Others read it on. Anybody may run anybody's programs, in as many mount namespaces as wanted, and would have them barred
//! for their owners. What root's processes take of root's files is not counted: no stranger has a hand in it.
//!
//! A file with debug information that is looked for by what is in that file belongs to the same user or to root
//! ([`super::super::files`]), and is not barred for what happens then: else a stranger's file would have any file barred
//! that it names.

use std::{collections::HashMap, hash::Hash};

use crate::symbolize::shared::{protocol::Payer, shared_table::SharedTable};

/// How sure it is that a file is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is, and would do the same again.
    Certain,
    /// It need not be: twice is too much.
    Likely,
    /// Somebody killed the symbolizer, or the kernel out of memory: that reading this file took, where the tracer has
    /// little. Eight times is too much.
    Outside,
}

impl Fault {
    /// What it counts.
    const fn weight(self) -> u8 {
        match self {
            Self::Certain => TOO_MUCH,
            Self::Likely => TOO_MUCH / 2,
            Self::Outside => TOO_MUCH / 8,
        }
    }
}

/// Where a file is barred.
const TOO_MUCH: u8 = 8;

/// Files of one user that may be barred in the processes of one. Who has made that many makes more.
const FILES: u32 = 4;

/// Payers for whom a file may be barred that are neither its owner nor root. Who has many numbers of users runs it by one
/// after the other.
const PAYERS: u32 = 3;

/// Uses that are remembered as barred or suspect. Where there are more, the payer with the most begins anew with some.
const REMEMBERED: usize = 4096;

/// One file: the same also when it has been written to since. A file system gives the inode of a file that is gone to the
/// next one, which was born later, and may be another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::symbolize) struct FileKey {
    /// The device, by its two numbers.
    pub(in crate::symbolize) device: (u32, u32),
    /// The inode on that.
    pub(in crate::symbolize) inode: u64,
    /// When it was made, in seconds and nanoseconds, where the file system says so.
    pub(in crate::symbolize) born: Option<(i64, u32)>,
    /// The user that it belongs to.
    pub(in crate::symbolize) user: u32,
}

/// A file in the processes of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::symbolize) struct Use {
    /// The file, with the user that it belongs to.
    pub(in crate::symbolize) file: FileKey,
    /// The user of the processes.
    pub(in crate::symbolize) payer: Payer,
}

impl Use {
    /// Whose file it is, and who pays.
    pub(super) const fn users(self) -> Users {
        (self.file.user, self.payer)
    }

    /// Whether the payer is neither root nor the file's owner.
    fn is_of_others(self) -> bool {
        self.payer != Payer::ROOT && self.payer != Payer::User(self.file.user)
    }

    /// Whether it is root's from end to end, as far as anybody knows: no stranger's doing.
    pub(super) fn is_roots(self) -> bool {
        self.file.user == 0 && matches!(self.payer, Payer::ROOT | Payer::Unknown)
    }
}

#[cfg(test)]
impl Use {
    /// A file of a user, in that user's processes.
    pub(super) const fn own(device: (u32, u32), inode: u64, user: u32) -> Self {
        let file = FileKey {
            device,
            inode,
            born: None,
            user,
        };
        Self {
            file,
            payer: Payer::User(user),
        }
    }
}

/// The user of a file, and that of the processes.
pub(super) type Users = (u32, Payer);

/// A file that is read for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::symbolize) struct UsedFile {
    /// Which one, and for whom.
    pub(in crate::symbolize) of: Use,
    /// Its path, printable.
    pub(in crate::symbolize) name: String,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be tried again.
    Again,
    /// The file is barred in the processes of that user.
    File,
    /// All files of its owner are.
    User,
}

/// What is not read.
#[derive(Debug)]
pub(super) struct Bars {
    /// What each use has counted. One is barred where that is too much.
    strikes: SharedTable<Use, u8>,
    /// How many barred ones are of the same users.
    users: HashMap<Users, u32>,
    /// How many are of the same payer.
    payers: HashMap<Payer, u32>,
    /// For how many payers a file is barred that are neither its owner nor root. Root's files are not counted here: all
    /// others need them.
    of_others: HashMap<FileKey, u32>,
}

impl Default for Bars {
    fn default() -> Self {
        Self {
            strikes: SharedTable::new(REMEMBERED),
            users: HashMap::new(),
            payers: HashMap::new(),
            of_others: HashMap::new(),
        }
    }
}

impl Bars {
    /// Whether a file is barred.
    pub(super) fn bar(&self, of: Use) -> bool {
        let is_over = |strikes: &u8| *strikes >= TOO_MUCH;
        self.strikes.peek(&of).is_some_and(is_over)
            || count(&self.users, &of.users()) >= FILES
            || (of.is_of_others() && count(&self.of_others, &of.file) >= PAYERS)
    }

    /// Whether anything is barred for a payer.
    pub(super) fn has(&self, payer: Payer) -> bool {
        self.payers.contains_key(&payer)
    }

    /// A symbolizer that had read nothing else ended at a file.
    pub(super) fn strike(&mut self, of: Use, fault: Fault) -> Verdict {
        let before = self.strikes.get(&of, of.payer).map_or(0, |it| *it);
        let strikes = before.saturating_add(fault.weight());
        let forgotten = self.strikes.insert(of, strikes, of.payer);
        for (of, strikes) in forgotten {
            if strikes >= TOO_MUCH {
                self.count(of, one_less);
            }
        }
        if strikes < TOO_MUCH {
            return Verdict::Again;
        }
        if before < TOO_MUCH {
            self.count(of, one_more);
        }
        if before < TOO_MUCH && count(&self.users, &of.users()) >= FILES {
            return Verdict::User;
        }
        Verdict::File
    }

    /// Counts a use that is barred, or is no more.
    fn count(&mut self, of: Use, by: fn(u32) -> u32) {
        change(&mut self.payers, of.payer, by);
        if of.file.user != 0 && of.is_of_others() {
            change(&mut self.of_others, of.file, by);
        }
        if !of.is_roots() {
            change(&mut self.users, of.users(), by);
        }
    }
}

const fn one_more(count: u32) -> u32 {
    count.saturating_add(1)
}

const fn one_less(count: u32) -> u32 {
    count.saturating_sub(1)
}

fn count<K: Eq + Hash>(all: &HashMap<K, u32>, key: &K) -> u32 {
    all.get(key).copied().unwrap_or(0)
}

fn change<K: Copy + Eq + Hash>(all: &mut HashMap<K, u32>, key: K, by: fn(u32) -> u32) {
    match by(count(all, &key)) {
        0 => all.remove(&key),
        count => all.insert(key, count),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64, user: u32) -> Use {
        Use::own((0, 1), inode, user)
    }

    #[test]
    fn a_file_has_two_chances_where_it_may_be_innocent() {
        let mut bars = Bars::default();
        let one = file(1, 1000);
        assert_eq!(bars.strike(one, Fault::Likely), Verdict::Again);
        assert!(!bars.bar(one));
        assert_eq!(bars.strike(one, Fault::Likely), Verdict::File);
        assert!(bars.bar(one) && !bars.bar(file(2, 1000)));
        assert_eq!(bars.strike(file(3, 1000), Fault::Certain), Verdict::File);
        assert!(bars.bar(file(3, 1000)));
        let killed = file(4, 1000);
        let verdicts: Vec<_> = (0..8)
            .map(|_| bars.strike(killed, Fault::Outside))
            .collect();
        assert_eq!(verdicts[..7], [Verdict::Again; 7]);
        assert_eq!(verdicts[7], Verdict::File);
    }

    /// The file system gives the inode of a file that is gone to the next one.
    #[test]
    fn a_file_that_was_made_later_is_another_one() {
        let mut bars = Bars::default();
        let born_at = |seconds, user| {
            let mut file = file(1, user);
            file.file.born = Some((seconds, 0));
            file
        };
        bars.strike(born_at(1, 7), Fault::Certain);
        assert!(bars.bar(born_at(1, 7)));
        assert!(!bars.bar(born_at(2, 7)));
        assert!(!bars.bar(born_at(1, 8)), "another user's");
    }

    #[test]
    fn who_makes_many_has_no_file_read() {
        let mut bars = Bars::default();
        let verdicts: Vec<_> = (0..4)
            .map(|it| bars.strike(file(it, 7), Fault::Certain))
            .collect();
        assert_eq!(verdicts[3], Verdict::User);
        assert!(bars.bar(file(99, 7)));
        assert!(!bars.bar(file(99, 8)));
        for inode in 0..10 {
            let verdict = bars.strike(file(100 + inode, 0), Fault::Certain);
            assert_eq!(verdict, Verdict::File);
        }
        assert!(!bars.bar(file(99, 0)), "root's");
    }
    /// Anybody may run anybody's program.
    #[test]
    fn who_runs_a_file_pays_and_nobody_else() {
        let by = |of: Use, payer| Use { payer, ..of };
        let mut bars = Bars::default();
        let (owner, stranger) = (Payer::User(7), Payer::User(8));
        for inode in 0..5 {
            bars.strike(by(file(inode, 7), stranger), Fault::Certain);
        }
        assert!(bars.bar(by(file(99, 7), stranger)), "all of them");
        for payer in [owner, Payer::ROOT, Payer::Unknown] {
            assert!(!bars.bar(by(file(0, 7), payer)), "{payer:?}");
        }
        assert!(!bars.bar(by(file(99, 8), stranger)), "its own");
        for inode in 0..4 {
            bars.strike(by(file(inode, 0), stranger), Fault::Certain);
        }
        assert!(bars.bar(by(file(99, 0), stranger)), "root's, to a stranger");
        assert!(!bars.bar(by(file(0, 0), owner)) && !bars.bar(file(0, 0)));
    }
    /// The kernel gives each user thousands of numbers for user namespaces.
    #[test]
    fn who_runs_a_file_by_many_numbers_has_it_barred_for_all_but_its_owner_and_root() {
        let mut bars = Bars::default();
        let by = |of: Use, payer| Use { payer, ..of };
        for payer in (100..103).map(Payer::User) {
            assert!(!bars.bar(by(file(1, 7), payer)));
            bars.strike(by(file(1, 7), payer), Fault::Certain);
            bars.strike(by(file(2, 0), payer), Fault::Certain);
        }
        for payer in [Payer::User(103), Payer::Unknown] {
            assert!(bars.bar(by(file(1, 7), payer)), "{payer:?}");
            assert!(!bars.bar(by(file(2, 0), payer)), "root's: {payer:?}");
        }
        for payer in [Payer::User(7), Payer::ROOT] {
            assert!(!bars.bar(by(file(1, 7), payer)), "{payer:?}");
        }
        assert!(bars.has(Payer::User(101)) && !bars.has(Payer::User(7)));
    }

    /// Each strike is a second's work for who makes files that end the symbolizer.
    #[test]
    fn what_is_barred_for_one_user_stays_so_however_many_files_others_have() {
        let mut bars = Bars::default();
        bars.strike(file(1, 7), Fault::Certain);
        bars.strike(file(2, 7), Fault::Likely);
        let last = 2 * REMEMBERED as u64;
        for inode in 10..last {
            bars.strike(file(inode, 8), Fault::Likely);
        }
        assert!(bars.bar(file(1, 7)));
        assert_eq!(bars.strike(file(2, 7), Fault::Likely), Verdict::File);
        // Who has the most begins anew.
        assert!(bars.strikes.peek(&file(10, 8)).is_none());
        bars.strike(file(last, 8), Fault::Certain);
        assert!(bars.has(Payer::User(8)));
        for inode in last + 1..2 * last {
            bars.strike(file(inode, 8), Fault::Likely);
        }
        assert!(!bars.has(Payer::User(8)) && !bars.bar(file(last, 8)));
    }
}
