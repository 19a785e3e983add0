//! The tasks that `--pid` names: a recording of nobody else ends with the last of them.

use std::path::Path;

use crate::{event::ids::Pid, host::process_dir::ProcessDir};

/// Their directories in `/proc`.
#[derive(Debug)]
pub(super) struct AskedTasks {
    directories: Vec<ProcessDir>,
    all: usize,
}

impl AskedTasks {
    /// Those with these numbers.
    pub(super) fn of(pids: &[Pid]) -> Self {
        let open = |&pid: &Pid| ProcessDir::open(Path::new("/"), pid).ok();
        Self {
            directories: pids.iter().filter_map(open).collect(),
            all: pids.len(),
        }
    }

    /// Whether there were any, and all have ended.
    pub(super) fn have_ended(&self) -> bool {
        self.all > 0 && !self.directories.iter().any(ProcessDir::lives)
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
