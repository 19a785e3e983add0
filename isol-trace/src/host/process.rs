//! The processes that `--pid` names.

use super::{Host, HostError};
use crate::event::ids::Pid;

/// Why a number names no process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Nothing has this number.
    #[error("--pid {0}: there is no process with this number")]
    Gone(Pid),
    /// It is that of a thread.
    #[error("--pid {thread}: this is a thread of process {process}; give --pid {process}")]
    Thread {
        /// The number that was given.
        thread: Pid,
        /// Its process.
        process: Pid,
    },
    /// Nothing can be said.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Host {
    /// Checks that a number is that of a process: a filter on any other would match nothing.
    pub fn require_process(&self, pid: Pid) -> Result<(), ProcessError> {
        let path = format!("/proc/{pid}/status");
        let status = self.read(&path)?.ok_or(ProcessError::Gone(pid))?;
        let process = status
            .lines()
            .find_map(|line| line.strip_prefix("Tgid:"))
            .and_then(|number| number.trim_ascii().parse().ok())
            .map(Pid)
            .ok_or_else(|| HostError::Line {
                path: self.path(&path),
                line: "Tgid",
            })?;
        if process == pid {
            Ok(())
        } else {
            Err(ProcessError::Thread {
                thread: pid,
                process,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    #[test]
    fn only_processes_will_do() {
        let host = recorded("nohz-full");
        host.require_process(Pid(147)).unwrap();
        assert!(matches!(
            host.require_process(Pid(148)),
            Err(ProcessError::Thread {
                process: Pid(147),
                ..
            })
        ));
        assert!(matches!(
            host.require_process(Pid(149)),
            Err(ProcessError::Gone(Pid(149)))
        ));
    }

    #[test]
    fn this_process_is_one() {
        Host::new("/")
            .require_process(Pid(std::process::id()))
            .unwrap();
    }
}
