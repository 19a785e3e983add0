//! What can be seen from user space of the kernel's rules, looked at after it has refused something.

use std::{fs, path::Path};

use rustix::{
    process::{Resource, getrlimit},
    system::uname,
    thread::{CpuSet, gettid, sched_getaffinity, sched_getcpu},
};
use syscalls::{Sysno, syscall2};

use crate::{Cpus, Obstacle};

/// Where the kernel tells of CPUs.
const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// The CPUs of isolated cpuset partitions, where cgroup v2 has its usual place (kernel/cgroup/cpuset.c,
/// 6.12). An older kernel may have no such file.
const PARTITIONS: &str = "/sys/fs/cgroup/cpuset.cpus.isolated";

/// What decides on whether a thread may be isolated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placement {
    /// Where the thread may run.
    pub(crate) allowed: Cpus,
    /// Where the tick can be stopped: `nohz_full=`.
    pub(crate) nohz_full: Cpus,
    /// What is outside the scheduler's domains: `isolcpus=`, or an isolated partition.
    pub(crate) domain: Cpus,
}

impl Placement {
    /// Looks.
    pub(crate) fn gather() -> Self {
        let isolated = cpu_file("isolated").unwrap_or_default();
        let partitions = list(Path::new(PARTITIONS)).unwrap_or_default();
        Self {
            allowed: allowed(),
            nohz_full: cpu_file("nohz_full").unwrap_or_default(),
            domain: isolated.union(&partitions),
        }
    }

    /// Where a thread could be isolated.
    pub(crate) fn isolable(&self) -> Cpus {
        self.nohz_full.intersection(&self.domain)
    }
}

/// Where the kernel itself says that a thread can be isolated; `None` if it says nothing.
pub(crate) fn isolable() -> Option<Cpus> {
    cpu_file("task_isolation")
}

/// The kernel's release.
pub(crate) fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

fn cpu_file(name: &str) -> Option<Cpus> {
    list(&Path::new(CPU_FOLDER).join(name))
}

fn list(path: &Path) -> Option<Cpus> {
    Cpus::parse(&fs::read_to_string(path).ok()?)
}

/// The kernel counts the CPUs that a thread is bound to, whether they are online or not.
/// `sched_getaffinity` leaves those out that are not (`sched_getaffinity()`, kernel/sched/syscalls.c,
/// 6.12), so it is asked only where there is no `/proc`.
fn allowed() -> Cpus {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|text| {
            let mut lines = text.lines();
            Cpus::parse(lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
        })
        .or_else(|| {
            let set = sched_getaffinity(None).ok()?;
            let cpus = 0..u32::try_from(CpuSet::MAX_CPU).ok()?;
            Some(
                cpus.filter(|&cpu| usize::try_from(cpu).is_ok_and(|cpu| set.is_set(cpu)))
                    .collect(),
            )
        })
        .unwrap_or_default()
}

/// What takes the tick on this CPU, as far as it can be seen.
pub(crate) fn obstacles() -> Vec<Obstacle> {
    let mut obstacles = runnable(sched_getcpu());
    obstacles.extend(interval_timers());
    if cpu_timer_in(&fs::read_to_string("/proc/self/timers").unwrap_or_default()) {
        obstacles.push(Obstacle::CpuTimer("timer_create"));
    }
    if getrlimit(Resource::Cpu).current.is_some() {
        obstacles.push(Obstacle::CpuTimer("RLIMIT_CPU"));
    }
    obstacles
}

/// Other threads that are runnable on a CPU.
fn runnable(cpu: usize) -> Vec<Obstacle> {
    let us = gettid().as_raw_nonzero().get();
    let mut found = Vec::new();
    for process in numbers(Path::new("/proc")) {
        let threads = Path::new("/proc").join(process.to_string()).join("task");
        for tid in numbers(&threads).filter(|&tid| tid != us) {
            let stat = fs::read_to_string(threads.join(tid.to_string()).join("stat"));
            if let Some(comm) = stat.ok().and_then(|stat| runs_on(&stat, cpu)) {
                found.push(Obstacle::Thread { tid, comm });
            }
        }
    }
    found
}

/// The entries of a folder that are numbers.
fn numbers(folder: &Path) -> impl Iterator<Item = i32> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The name of a thread that is runnable on a CPU, from its line in `/proc` (`proc_pid_stat(5)`).
fn runs_on(stat: &str, cpu: usize) -> Option<String> {
    /// The fields from the state, the third, to the processor, the 39th.
    const PROCESSOR: usize = 39 - 3;
    // The name may hold anything, blanks and parentheses as well.
    let (begin, rest) = stat.rsplit_once(')')?;
    let (_, comm) = begin.split_once('(')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let runs = fields.first() == Some(&"R") && fields.get(PROCESSOR)?.parse::<usize>().ok()? == cpu;
    runs.then(|| comm.to_owned())
}

/// Timers of this process that count the time it runs.
fn interval_timers() -> Vec<Obstacle> {
    let timers = [(1, "ITIMER_VIRTUAL"), (2, "ITIMER_PROF")];
    timers
        .into_iter()
        .filter(|&(which, _)| is_armed(which))
        .map(|(_, name)| Obstacle::CpuTimer(name))
        .collect()
}

fn is_armed(which: usize) -> bool {
    // Two times of two words: `struct __kernel_old_itimerval`.
    let mut value = [0_usize; 4];
    let pointer = value.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel writes four words.
    let result = unsafe { syscall2(Sysno::getitimer, which, pointer) };
    result.is_ok() && value[2..] != [0, 0]
}

/// Whether a timer of `/proc/PID/timers` has a clock that counts the time that a task runs: one of
/// the two fixed ones, or a number that stands for a task (include/linux/posix-timers_types.h, 6.12).
fn cpu_timer_in(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix("ClockID: ")?.parse::<i32>().ok())
        .any(|clock| matches!(clock, 2 | 3) || (clock < 0 && clock & 7 != 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a) b) R 1 77 77 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 5 2 1 \
                        18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0";

    #[test]
    fn a_runnable_thread_is_named() {
        assert_eq!(runs_on(STAT, 3).as_deref(), Some("a) b"));
        assert_eq!(runs_on(STAT, 2), None);
        assert_eq!(runs_on(&STAT.replace(" R ", " S "), 3), None);
        assert_eq!(runs_on("", 3), None);
    }

    #[test]
    fn a_timer_of_a_running_clock_is_found() {
        assert!(cpu_timer_in(
            "ID: 0\nsignal: 14/0\nnotify: signal/pid.1\nClockID: 2\n"
        ));
        assert!(cpu_timer_in("ClockID: 1\nClockID: -6\n"));
        assert!(!cpu_timer_in("ClockID: 1\nClockID: -5\n"));
        assert!(!cpu_timer_in(""));
    }

    #[test]
    fn this_thread_may_run_somewhere() {
        assert!(!allowed().is_empty());
        assert!(!release().is_empty());
    }
}
