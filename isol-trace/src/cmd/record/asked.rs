//! The tasks that `--pid` names: a recording of nobody else ends with the last of them.

use std::fs::File;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use crate::event::ids::Pid;

/// Their directories in `/proc`, held open: who gets a number later is somebody else.
#[derive(Debug)]
pub(super) struct AskedTasks {
    folders: Vec<File>,
    all: usize,
}

impl AskedTasks {
    /// Those with these numbers.
    pub(super) fn of(pids: &[Pid]) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |pid: &Pid| openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).ok();
        Self {
            folders: pids.iter().filter_map(open).map(File::from).collect(),
            all: pids.len(),
        }
    }

    /// Whether there were any, and all have ended. Looking for a file of a task takes none of its locks, and nothing is
    /// read of it (`fs/proc/base.c:proc_pident_lookup`, v6.12).
    pub(super) fn have_ended(&self) -> bool {
        let lives = |folder: &File| statat(folder, "comm", AtFlags::empty()).is_ok();
        self.all > 0 && !self.folders.iter().any(lives)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_last_one_counts() {
        assert!(!AskedTasks::of(&[]).have_ended(), "nobody was asked for");
        let begin = || Command::new("sleep").arg("100").spawn().expect("sleep");
        let mut both = [begin(), begin()];
        let tasks = AskedTasks::of(&both.each_ref().map(|it| Pid(it.id())));
        for child in &mut both {
            assert!(!tasks.have_ended());
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
        assert!(tasks.have_ended());
    }
}
