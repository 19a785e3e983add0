//! Of whom `/proc/PID/maps` may be read while a trace runs.
//!
//! Reading takes the lock that a page fault, `mmap` and `munmap` wait for (`fs/proc/task_mmu.c:m_start`:
//! `mmap_read_lock_killable`, v6.12): 18 ms were seen. So it is done where none of a process's threads may run on a
//! watched CPU. Where a thread may run is asked by `sched_getaffinity`, which takes no lock of a run queue
//! (`kernel/sched/syscalls.c`: `p->pi_lock` for as long as it copies a mask).

use std::{fs, path::Path};

use crate::{
    event::ids::Pid,
    host::{affinity, cpu_list::CpuSet},
};

/// Threads that are asked; of a process with more it is taken that one may.
const THREADS: usize = 512;

/// The watched CPUs, once a trace runs there.
#[derive(Clone, Debug, Default)]
pub(in crate::symbolize) struct Quiet {
    watched: CpuSet,
}

impl Quiet {
    /// Nothing is traced yet: everybody's may be read.
    pub(in crate::symbolize) fn not_yet() -> Self {
        Self::default()
    }

    /// These CPUs are watched from now on.
    pub(in crate::symbolize) fn watch(&mut self, cpus: CpuSet) {
        self.watched = cpus;
    }

    /// Whether the maps of a process may be read.
    pub(super) fn may_read(&self, root: &Path, pid: Pid) -> bool {
        self.watched.is_empty() || !self.may_run_there(root, pid)
    }

    /// Whether a thread of a process may run on a watched CPU, for all that can be said.
    fn may_run_there(&self, root: &Path, pid: Pid) -> bool {
        let Ok(threads) = fs::read_dir(root.join(format!("proc/{pid}/task"))) else {
            return true;
        };
        for (count, thread) in threads.enumerate() {
            let tid = thread
                .ok()
                .and_then(|it| it.file_name().to_str()?.parse().ok());
            let allowed = tid.and_then(affinity::allowed);
            let stays_away = allowed.is_some_and(|cpus| (&cpus & &self.watched).is_empty());
            if !stays_away || count >= THREADS {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_run_on_a_watched_cpu_is_left_alone() {
        let own = Pid(std::process::id());
        let root = Path::new("/");
        let mut quiet = Quiet::not_yet();
        assert!(quiet.may_read(root, own));
        let here = affinity::allowed(own.0.cast_signed()).expect("ours");
        quiet.watch(here);
        assert!(!quiet.may_read(root, own));
        quiet.watch("4095".parse().expect("a CPU"));
        assert!(quiet.may_read(root, own), "no thread may run there");
        assert!(!quiet.may_read(root, Pid(u32::MAX)), "nobody can say");
    }

    /// One thread is enough.
    #[test]
    fn every_thread_counts() {
        let cpus: Vec<_> = affinity::allowed(0).expect("ours").iter().collect();
        let (Some(first), Some(last)) = (cpus.first(), cpus.last()) else {
            panic!("no CPU")
        };
        let set =
            |cpu: &crate::event::ids::Cpu| -> CpuSet { cpu.to_string().parse().expect("a CPU") };
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .expect("every Linux has sleep");
        let pid = Pid(child.id());
        affinity::pin(pid.0.cast_signed(), &set(first)).expect("it is ours");
        let mut quiet = Quiet::not_yet();
        quiet.watch(set(first));
        assert!(!quiet.may_read(Path::new("/"), pid));
        if first != last {
            quiet.watch(set(last));
            assert!(quiet.may_read(Path::new("/"), pid));
        }
        child.kill().expect("it lives");
        child.wait().expect("it was killed");
    }
}
