//! How many files this process may open, and how much memory it may have: probes, maps and rings are descriptors, a
//! few hundred in all.

use std::{fs, io, os::unix::process::CommandExt as _, process::Command, sync::OnceLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits that this process was started with.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Fewer descriptors than a trace needs.
#[derive(Debug, thiserror::Error)]
#[error(
    "this trace needs up to {needed} file descriptors, and this process may have {limit}: raise the limit, with `ulimit -n {needed}` as root or LimitNOFILE={needed} in a service"
)]
pub struct TooFewDescriptors {
    /// How many a trace takes at most.
    pub needed: u64,
    /// How many there may be.
    pub limit: u64,
}

/// Less memory than a trace, or this program, needs.
#[derive(Debug, thiserror::Error)]
#[error(
    "this program needs about {needed_kib} KiB of {what}, and this process may have {limit_kib}: raise the limit, with `ulimit {option} {needed_kib}`"
)]
pub struct TooLittleMemory {
    /// What it is called.
    pub what: &'static str,
    /// The option of the shell's `ulimit`.
    pub option: &'static str,
    /// How much a trace takes.
    pub needed_kib: u64,
    /// How much there may be.
    pub limit_kib: u64,
}

/// Address space that a trace takes besides its rings. With 150 MB it was seen to run out, with 200 MB not.
const ADDRESS_SPACE_KIB: u64 = 300_000;

/// Memory of its own that a trace takes: heap, stacks of threads. With 40 MB it was seen to run out, with 60 MB not.
const DATA_KIB: u64 = 120_000;

/// Checks that there is memory for a trace with rings of so many bytes in all: running out of it later could not be told.
pub fn require_memory(rings: u64) -> Result<(), TooLittleMemory> {
    // Rings are mapped twice in a row (kernel/bpf/ringbuf.c:bpf_ringbuf_area_alloc, v6.12).
    let address_space = ADDRESS_SPACE_KIB + 2 * (rings >> 10);
    require_kib(Resource::As, "address space", "-v", address_space)?;
    require_kib(Resource::Data, "memory of its own", "-d", DATA_KIB)
}

/// Checks that a limit, which the shell's `ulimit` sets by `option`, is not below what is needed.
fn require_kib(
    resource: Resource,
    what: &'static str,
    option: &'static str,
    needed_kib: u64,
) -> Result<(), TooLittleMemory> {
    let limit = getrlimit(resource).current.map(|bytes| bytes >> 10);
    match limit.filter(|limit| *limit < needed_kib) {
        None => Ok(()),
        Some(limit_kib) => Err(TooLittleMemory {
            what,
            option,
            needed_kib,
            limit_kib,
        }),
    }
}

/// Raises the soft limit to the hard one, which any process may do.
pub fn raise() {
    let before = getrlimit(Resource::Nofile);
    if BEFORE.set(before).is_ok() {
        let all = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        // Where it is refused the old one holds.
        let _ = setrlimit(Resource::Nofile, all);
    }
}

/// Checks that this process may have so many besides those that it has, and raises the hard limit where it is too low and that is allowed.
pub fn require(more: u64) -> Result<(), TooFewDescriptors> {
    // Without `/proc`, as many as most programs are started with.
    let open = fs::read_dir("/proc/self/fd").map_or(3, |all| all.count() as u64);
    let needed = more + open;
    let limit = getrlimit(Resource::Nofile).current;
    let Some(limit) = limit.filter(|limit| *limit < needed) else {
        return Ok(());
    };
    let more = Rlimit {
        current: Some(needed),
        maximum: Some(needed),
    };
    // CAP_SYS_RESOURCE may (setrlimit(2)).
    setrlimit(Resource::Nofile, more).map_err(|_refused| TooFewDescriptors { needed, limit })
}

/// Gives a command the limits that this process was started with.
pub fn restore_for(command: &mut Command) {
    let Some(before) = BEFORE.get().copied() else {
        return;
    };
    let restore = move || setrlimit(Resource::Nofile, before).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call on memory that was laid out before the fork.
    unsafe { command.pre_exec(restore) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_limits_that_we_were_started_with() {
        raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n"]);
        restore_for(&mut command);
        let output = command.output().unwrap();
        let before = BEFORE.get().and_then(|limit| limit.current);
        let expected = before.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected);
    }

    #[test]
    fn memory_that_nobody_has_is_refused() {
        require_memory(0).unwrap();
        let sentence = TooLittleMemory {
            what: "stack",
            option: "-s",
            needed_kib: 512,
            limit_kib: 64,
        };
        assert!(sentence.to_string().ends_with("with `ulimit -s 512`"));
    }

    #[test]
    fn a_few_are_enough_for_a_few() {
        require(1).unwrap();
        let sentence = TooFewDescriptors {
            needed: 300,
            limit: 64,
        };
        assert!(sentence.to_string().contains("needs up to 300"));
    }
}
