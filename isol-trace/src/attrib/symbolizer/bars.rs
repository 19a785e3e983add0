//! Files that are not read any more, because reading them ended the symbolizer.
//!
//! Who pays is who owns the file that a process had mapped. A file with debug information that is looked for by what is in
//! that file belongs to the same user or to root ([`super::super::files`]), and is not barred for what happens then: else a
//! stranger's file would have any file barred that it names.

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

/// Files of one user that may be barred. Who has made that many makes more.
const FILES: u32 = 4;

/// Files that are remembered as barred or suspect; users are few.
const REMEMBERED: usize = 4096;

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::attrib) struct Owner {
    /// The file, by device and inode: the same also when it has been written to since.
    pub(in crate::attrib) file: (u64, u64),
    /// The user.
    pub(in crate::attrib) user: u32,
    /// Its path, printable.
    pub(in crate::attrib) name: String,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be tried again.
    Again,
    /// The file is barred.
    File,
    /// All files of that user are.
    User,
}

/// What is not read.
#[derive(Debug, Default)]
pub(super) struct Bars {
    strikes: HashMap<(u64, u64), u8>,
    barred: HashSet<(u64, u64)>,
    /// Barred files of each user.
    users: HashMap<u32, u32>,
}

impl Bars {
    /// Whether a file is barred.
    pub(super) fn bar(&self, owner: &Owner) -> bool {
        let by_user = self.users.get(&owner.user);
        self.barred.contains(&owner.file) || by_user.is_some_and(|files| *files >= FILES)
    }

    /// A symbolizer that had read nothing else ended at a file.
    pub(super) fn strike(&mut self, owner: &Owner, fault: Fault) -> Verdict {
        if self.strikes.len() >= REMEMBERED {
            self.strikes.clear();
        }
        let strikes = self.strikes.entry(owner.file).or_default();
        *strikes = strikes.saturating_add(fault.weight());
        if *strikes < TOO_MUCH {
            return Verdict::Again;
        }
        // Root's files are no stranger's.
        if self.barred.insert(owner.file) && owner.user != 0 {
            let files = self.users.entry(owner.user).or_default();
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

    fn file(inode: u64, user: u32) -> Owner {
        Owner {
            file: (1, inode),
            user,
            name: "/bin/x".to_owned(),
        }
    }

    #[test]
    fn a_file_has_two_chances_where_it_may_be_innocent() {
        let mut bars = Bars::default();
        let one = file(1, 1000);
        assert_eq!(bars.strike(&one, Fault::Likely), Verdict::Again);
        assert!(!bars.bar(&one));
        assert_eq!(bars.strike(&one, Fault::Likely), Verdict::File);
        assert!(bars.bar(&one) && !bars.bar(&file(2, 1000)));
        assert_eq!(bars.strike(&file(3, 1000), Fault::Certain), Verdict::File);
        assert!(bars.bar(&file(3, 1000)));
        let killed = file(4, 1000);
        let verdicts: Vec<_> = (0..8)
            .map(|_| bars.strike(&killed, Fault::Outside))
            .collect();
        assert_eq!(verdicts[..7], [Verdict::Again; 7]);
        assert_eq!(verdicts[7], Verdict::File);
    }

    #[test]
    fn who_makes_many_has_no_file_read() {
        let mut bars = Bars::default();
        let verdicts: Vec<_> = (0..4)
            .map(|it| bars.strike(&file(it, 7), Fault::Certain))
            .collect();
        assert_eq!(verdicts[3], Verdict::User);
        assert!(bars.bar(&file(99, 7)));
        assert!(!bars.bar(&file(99, 8)));
        for inode in 0..10 {
            let verdict = bars.strike(&file(100 + inode, 0), Fault::Certain);
            assert_eq!(verdict, Verdict::File);
        }
        assert!(!bars.bar(&file(99, 0)), "root's");
    }
}
