//! Files that are not read any more, because reading them ended the symbolizer.
//!
//! Who pays is the user whose process had the file mapped: that file is barred in the processes of this user. Others read
//! it on. Anybody may run anybody's programs, in as many mount namespaces as wanted, and would have them barred for their
//! owners. What root's processes take
//! of root's files is not counted: no stranger has a hand in it.
//!
//! A file with debug information that is looked for by what is in that file belongs to the same user or to root
//! ([`super::super::files`]), and is not barred for what happens then: else a stranger's file would have any file barred
//! that it names.

use std::collections::{HashMap, HashSet};

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

/// Users for whom a file may be barred that are neither its owner nor root. Who has many numbers of users runs it by one
/// after the other.
const RUNNERS: u32 = 3;

/// Files that are remembered as barred or suspect.
const REMEMBERED: usize = 4096;

/// One file: the same also when it has been written to since. A file system gives the inode of a file that is gone to the
/// next one, which was born later, and may be another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::attrib) struct FileKey {
    /// The device, by its two numbers.
    pub(in crate::attrib) device: (u32, u32),
    /// The inode on that.
    pub(in crate::attrib) inode: u64,
    /// When it was made, in seconds and nanoseconds, where the file system says so.
    pub(in crate::attrib) born: Option<(i64, u32)>,
    /// The user that it belongs to.
    pub(in crate::attrib) user: u32,
}

/// A file in the processes of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::attrib) struct Use {
    /// The file, with the user that it belongs to.
    pub(in crate::attrib) file: FileKey,
    /// The user of the processes; `None` where they ended before it was known.
    pub(in crate::attrib) runner: Option<u32>,
}

impl Use {
    /// Whose file it is, and who runs it.
    pub(super) const fn users(self) -> Users {
        (self.file.user, self.runner)
    }

    /// Whether the user of the processes is neither root nor the file's.
    fn is_of_others(self) -> bool {
        self.runner != Some(0) && self.runner != Some(self.file.user)
    }

    /// Whether it is root's from end to end, as far as anybody knows: no stranger's doing.
    pub(super) fn is_roots(self) -> bool {
        self.file.user == 0 && self.runner.is_none_or(|runner| runner == 0)
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
            runner: Some(user),
        }
    }
}

/// The user of a file, and that of the processes.
pub(super) type Users = (u32, Option<u32>);

/// Who pays for reading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::attrib) struct Payer {
    /// For which one.
    pub(in crate::attrib) of: Use,
    /// Its path, printable.
    pub(in crate::attrib) name: String,
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
#[derive(Debug, Default)]
pub(super) struct Bars {
    strikes: HashMap<Use, u8>,
    barred: HashSet<Use>,
    /// How many of these are of the same users.
    users: HashMap<Users, u32>,
    /// For how many users a file is barred that are neither its owner nor root. Root's files are not counted here: all
    /// others need them.
    runners: HashMap<FileKey, u32>,
}

impl Bars {
    /// Whether a file is barred.
    pub(super) fn bar(&self, of: Use) -> bool {
        let by_user = self.users.get(&of.users());
        let by_others = self.runners.get(&of.file);
        self.barred.contains(&of)
            || by_user.is_some_and(|files| *files >= FILES)
            || (of.is_of_others() && by_others.is_some_and(|runners| *runners >= RUNNERS))
    }

    /// Whether anything is barred in the processes of a user.
    pub(super) fn has(&self, runner: Option<u32>) -> bool {
        self.barred.iter().any(|of| of.runner == runner)
    }

    /// A symbolizer that had read nothing else ended at a file.
    pub(super) fn strike(&mut self, of: Use, fault: Fault) -> Verdict {
        if self.strikes.len() >= REMEMBERED {
            *self = Self::default();
        }
        let strikes = self.strikes.entry(of).or_default();
        *strikes = strikes.saturating_add(fault.weight());
        if *strikes < TOO_MUCH {
            return Verdict::Again;
        }
        let is_new = self.barred.insert(of);
        if is_new && of.file.user != 0 && of.is_of_others() {
            *self.runners.entry(of.file).or_default() += 1;
        }
        if is_new && !of.is_roots() {
            let files = self.users.entry(of.users()).or_default();
            *files += 1;
            if *files >= FILES {
                return Verdict::User;
            }
        }
        Verdict::File
    }
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
        let by = |of: Use, runner| Use { runner, ..of };
        let mut bars = Bars::default();
        let (owner, stranger) = (Some(7), Some(8));
        for inode in 0..5 {
            bars.strike(by(file(inode, 7), stranger), Fault::Certain);
        }
        assert!(bars.bar(by(file(99, 7), stranger)), "all of them");
        for runner in [owner, Some(0), None] {
            assert!(!bars.bar(by(file(0, 7), runner)), "{runner:?}");
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
        let by = |of: Use, runner| Use { runner, ..of };
        for runner in 100..103 {
            assert!(!bars.bar(by(file(1, 7), Some(runner))));
            bars.strike(by(file(1, 7), Some(runner)), Fault::Certain);
            bars.strike(by(file(2, 0), Some(runner)), Fault::Certain);
        }
        for runner in [Some(103), None] {
            assert!(bars.bar(by(file(1, 7), runner)), "{runner:?}");
            assert!(!bars.bar(by(file(2, 0), runner)), "root's: {runner:?}");
        }
        for runner in [Some(7), Some(0)] {
            assert!(!bars.bar(by(file(1, 7), runner)), "{runner:?}");
        }
        assert!(bars.has(Some(101)) && !bars.has(Some(7)));
    }
}
