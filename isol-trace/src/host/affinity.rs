//! Keeping ourselves off the watched CPUs, and putting the command on them.

use std::{fs, io, os::unix::process::CommandExt as _, process::Command};

use rustix::thread;

use super::cpu_list::CpuSet;

/// Why this process could not be kept off the watched CPUs.
#[derive(Debug, thiserror::Error)]
pub enum AffinityError {
    /// A thread could not be moved.
    #[error(
        "cannot keep isol-trace on the housekeeping CPUs {cpus}: {source}; if the cpuset of its cgroup leaves them out, start it from a shell that may run there"
    )]
    Confine {
        /// Where it should have run.
        cpus: CpuSet,
        /// Why not.
        source: io::Error,
    },
    /// The kernel's khugepaged could not be kept off our memory.
    #[error("cannot turn transparent huge pages off for isol-trace itself: {0}")]
    HugePages(io::Error),
}

/// The setting for transparent huge pages that this process was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    disabled_before: bool,
}

/// Confines every thread of this process, and all that they start, to some CPUs. Call it
/// before any runtime starts threads: those inherit it.
pub fn confine(cpus: &CpuSet) -> Result<(), AffinityError> {
    let confine_all = || -> io::Result<()> {
        for tid in threads()? {
            match pin(tid, cpus) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result?,
            }
        }
        Ok(())
    };
    confine_all().map_err(|source| AffinityError::Confine {
        cpus: cpus.clone(),
        source,
    })
}

/// Keeps khugepaged off the memory of this process: collapsing it interrupts every CPU
/// that the process ran on, and was seen to interrupt watched ones.
pub fn disable_huge_pages() -> Result<HugePages, AffinityError> {
    let set = || {
        let disabled_before = thread::transparent_huge_pages_are_disabled()?;
        thread::disable_transparent_huge_pages(true)?;
        Ok(HugePages { disabled_before })
    };
    set().map_err(|error: rustix::io::Errno| AffinityError::HugePages(error.into()))
}

/// Makes a command start on some CPUs, with the setting for huge pages that this process
/// was started with: it would inherit ours, across `execve` too (prctl(2)).
///
/// Starting the command fails with `EINVAL` where its cpuset forbids all of these CPUs.
pub fn pin_command(command: &mut Command, cpus: &CpuSet, huge_pages: HugePages) {
    let cpus = cpus.clone();
    let prepare = move || {
        pin(0, &cpus)?;
        thread::disable_transparent_huge_pages(huge_pages.disabled_before)?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls on memory that was
    // laid out before the fork: it allocates nothing, takes no lock and frees nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Gives a command the setting for huge pages that this process was started with, and leaves where it runs as it is.
pub(crate) fn restore_huge_pages(command: &mut Command, before: HugePages) {
    let restore = move || {
        Ok(thread::disable_transparent_huge_pages(
            before.disabled_before,
        )?)
    };
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(restore) };
}

/// The threads of this process.
fn threads() -> io::Result<Vec<libc::pid_t>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        threads.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|tid| tid.parse::<libc::pid_t>().ok()),
        );
    }
    Ok(threads)
}

/// Where a thread may run; 0 is the calling one. `None` where it has ended, or that may not be asked.
pub(crate) fn allowed(tid: libc::pid_t) -> Option<CpuSet> {
    let mut mask = *CpuSet::new().mask();
    // SAFETY: the kernel writes at most the given number of bytes at the given address, which is that array. A 64-bit
    // word has the layout of the kernel's `unsigned long` on the 64-bit architectures that are supported.
    let result =
        unsafe { libc::sched_getaffinity(tid, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    (result == 0).then(|| CpuSet::from_mask(mask))
}

/// Pins one thread; 0 is the calling one. (The set of `rustix` ends at CPU 1023.)
pub(crate) fn pin(tid: libc::pid_t, cpus: &CpuSet) -> io::Result<()> {
    let mask = cpus.mask();
    // SAFETY: the kernel reads the given number of bytes at the given address, which is
    // that array, and keeps no pointer. A 64-bit word has the layout of the kernel's
    // `unsigned long` on the 64-bit architectures that are supported.
    let result = unsafe { libc::sched_setaffinity(tid, size_of_val(mask), mask.as_ptr().cast()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `name` line of the status file that a command prints of itself.
    fn status_of(command: &mut Command, name: &str) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim_ascii()
            .to_owned()
    }

    fn print_status() -> Command {
        let mut command = Command::new("cat");
        command.arg("/proc/self/status");
        command
    }

    /// Where this process may run, before a test changes it.
    fn allowed() -> CpuSet {
        status_of(&mut print_status(), "Cpus_allowed_list:")
            .parse()
            .unwrap()
    }

    #[test]
    fn a_command_starts_where_it_is_put_with_its_own_huge_pages() {
        let one: CpuSet = allowed().first().unwrap().to_string().parse().unwrap();
        let mut command = print_status();
        pin_command(
            &mut command,
            &one,
            HugePages {
                disabled_before: false,
            },
        );
        assert_eq!(
            status_of(&mut command, "Cpus_allowed_list:"),
            one.to_string()
        );
        // The line is younger (5.0) than the setting; every supported kernel has it.
        assert_eq!(status_of(&mut command, "THP_enabled:"), "1");
        let mut command = print_status();
        pin_command(
            &mut command,
            &one,
            HugePages {
                disabled_before: true,
            },
        );
        assert_eq!(status_of(&mut command, "THP_enabled:"), "0");
    }

    #[test]
    fn a_process_confines_its_threads() {
        // The test process is shared: confining it to where it may run changes nothing,
        // and shows that every thread can be reached.
        confine(&allowed()).unwrap();
        let nowhere = CpuSet::new();
        let error = confine(&nowhere).unwrap_err();
        assert!(matches!(error, AffinityError::Confine { .. }));
    }
}
