//! Whether a process is still the one that it was: its number may be another's by now, or it
//! executes another program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::event::ids::Pid;

/// What a process does not change while it executes one program.
///
/// Reading it takes no lock that its CPU waits for, save that of its signals for a moment:
/// `fs/proc/array.c:do_task_stat`, v6.12, which adds up all threads for `/proc/PID/stat` and not
/// for the file of one thread, here the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// When it began, in clock ticks.
    began: Option<u64>,
    /// Where its program's code and the bottom of its stack lie: mostly elsewhere after an `execve`.
    layout: [Option<u64>; 2],
    /// The program's path.
    program: Option<PathBuf>,
}

impl Identity {
    /// That of a process under `root`. Nothing in it is known of one that is dead.
    pub(super) fn read(root: &Path, pid: Pid) -> Self {
        let folder = root.join(format!("proc/{pid}"));
        let stat = fs::read_to_string(folder.join(format!("task/{pid}/stat"))).unwrap_or_default();
        let mut identity = Self::parse(&stat);
        identity.program = fs::read_link(folder.join("exe")).ok();
        identity
    }

    /// Takes from the text of a `stat` file what is in it. The name may hold anything.
    fn parse(stat: &str) -> Self {
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, fields)| fields.split_whitespace().collect())
            .unwrap_or_default();
        // Numbered as in proc_pid_stat(5); the first field here is the third.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        // 0 where the process has no memory any more, 1 where that is kept from us.
        let address = |number| field(number).filter(|&address| address > 1);
        Self {
            began: field(22),
            layout: [address(26), address(28)],
            program: None,
        }
    }

    /// Whether `now` may be the same. What cannot be read any more tells nothing: a process that
    /// is dead is what it was.
    pub(super) fn is_still(&self, now: &Self) -> bool {
        fn agree<T: PartialEq>(before: Option<&T>, now: Option<&T>) -> bool {
            now.is_none() || before == now
        }
        agree(self.began.as_ref(), now.began.as_ref())
            && agree(self.layout[0].as_ref(), now.layout[0].as_ref())
            && agree(self.layout[1].as_ref(), now.layout[1].as_ref())
            && agree(self.program.as_ref(), now.program.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 4711 9 8 \
                        18446744073709551615 94000 95000 140000 0 0 0 0 0 0 0 0 0 17 0 0 0\n";

    #[test]
    fn fields_are_counted_behind_the_name() {
        let identity = Identity::parse(STAT);
        assert_eq!(identity.began, Some(4711));
        assert_eq!(identity.layout, [Some(94000), Some(140_000)]);
        let kept = STAT.replace("94000 95000 140000", "1 1 0");
        assert_eq!(Identity::parse(&kept).layout, [None, None]);
        for garbage in ["", "7 (a", "7 (a) S", "7 (a) S x y"] {
            assert_eq!(Identity::parse(garbage), Identity::default(), "{garbage}");
        }
    }

    #[test]
    fn a_number_that_serves_again_and_another_program_are_noticed() {
        let known = Identity {
            program: Some("/bin/spin".into()),
            ..Identity::parse(STAT)
        };
        assert!(known.is_still(&known));
        assert!(known.is_still(&Identity::default()), "dead");
        let zombie = STAT.replace("94000 95000 140000", "0 0 0");
        assert!(known.is_still(&Identity::parse(&zombie)));
        for (from, to) in [("4711", "4712"), ("140000", "150000"), ("94000", "84000")] {
            let now = Identity::parse(&STAT.replace(from, to));
            assert!(!known.is_still(&now), "{to}");
        }
        let other = Identity {
            program: Some("/bin/other".into()),
            ..known.clone()
        };
        assert!(!known.is_still(&other));
    }

    #[test]
    fn this_process_stays_the_same() {
        let read = || Identity::read(Path::new("/"), Pid(std::process::id()));
        let known = read();
        assert!(known.began.is_some() && known.layout[1].is_some());
        assert_eq!(known.program, std::env::current_exe().ok());
        assert_eq!(known, read());
    }
}
