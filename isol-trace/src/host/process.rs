//! The processes and threads that `--pid` names.

use std::fs;

use super::{Host, HostError, cpu_list::CpuSet};
use crate::event::ids::Pid;

/// The PID namespace that the kernel starts with, whose numbers BPF sees
/// (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// Why a number cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Nothing has this number.
    #[error("--pid {0}: there is no process or thread with this number")]
    Gone(Pid),
    /// The number means something else to the kernel.
    #[error(
        "--pid {0}: inside of a PID namespace, as in a container, numbers are not those that the kernel's probes see: name the task with --comm, or run isol-trace on the host itself"
    )]
    Namespace(Pid),
    /// Nothing can be said.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Host {
    /// Checks that a number is that of a process or thread: a filter on any other would
    /// match nothing.
    pub fn require_process(&self, pid: Pid) -> Result<(), ProcessError> {
        // A thread has a folder as well, though listing /proc does not show it.
        if self.read(&format!("/proc/{pid}/status"))?.is_none() {
            return Err(ProcessError::Gone(pid));
        }
        if self.is_in_pid_namespace() {
            return Err(ProcessError::Namespace(pid));
        }
        Ok(())
    }

    /// The CPUs that a process or thread may run on; `None` where that cannot be read.
    #[must_use]
    pub fn cpus_of(&self, pid: Pid) -> Option<CpuSet> {
        let status = self.read(&format!("/proc/{pid}/status")).ok()??;
        status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?
            .trim_ascii()
            .parse()
            .ok()
    }

    /// Whether numbers of processes here are others than those that the kernel's probes see.
    #[must_use]
    pub fn is_in_pid_namespace(&self) -> bool {
        let namespace = fs::read_link(self.path("/proc/self/ns/pid"));
        namespace.is_ok_and(|name| name.as_os_str() != FIRST_NAMESPACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    #[test]
    fn only_what_runs_will_do() {
        let host = recorded("nohz-full");
        host.require_process(Pid(147)).unwrap();
        assert!(matches!(
            host.require_process(Pid(149)),
            Err(ProcessError::Gone(Pid(149)))
        ));
    }

    #[test]
    fn numbers_of_another_namespace_are_refused() {
        assert!(matches!(
            recorded("pid-namespace").require_process(Pid(1)),
            Err(ProcessError::Namespace(Pid(1)))
        ));
    }

    #[test]
    fn threads_have_a_folder() {
        let host = Host::new("/");
        std::thread::spawn(move || {
            let thread = rustix::thread::gettid();
            let number = Pid(thread.as_raw_nonzero().get().unsigned_abs());
            let result = host.require_process(number);
            assert!(!matches!(result, Err(ProcessError::Gone(_))), "{result:?}");
        })
        .join()
        .unwrap();
    }
}
