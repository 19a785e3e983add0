//! A small limit on the stack: it is raised where that is allowed, and a sentence where it is not. Other limits on
//! memory are told before it runs out.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output},
};

use rustix::process::{Resource, Rlimit, setrlimit};

const SMALL: u64 = 64 << 10;

/// Runs a command line with a small stack; `hard` is the other limit.
fn run(words: &[&str], hard: Option<u64>) -> Output {
    let (first, more) = words.split_first().unwrap();
    let mut command = Command::new(first);
    command.args(more);
    let limit = move || {
        let limit = Rlimit {
            current: Some(SMALL),
            maximum: hard,
        };
        setrlimit(Resource::Stack, limit).map_err(std::io::Error::from)
    };
    // SAFETY: one system call that takes no lock and no memory.
    unsafe { command.pre_exec(limit) };
    command.output().unwrap()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_isol-trace");

#[test]
fn a_soft_limit_is_raised() {
    let hard = rustix::process::getrlimit(Resource::Stack).maximum;
    let output = run(&[PROGRAM, "--version"], hard);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run(&[PROGRAM, "doctor", "--cpus", "0"], hard);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
}

#[test]
fn a_hard_limit_is_told() {
    // Nobody but root may raise it, and root only with that capability.
    let root = ["setpriv", "--bounding-set=-sys_resource", PROGRAM, "doctor"];
    let words = if rustix::process::geteuid().is_root() {
        &root[..]
    } else {
        &root[2..]
    };
    let output = run(words, Some(SMALL));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "isol-trace: this program needs about 512 KiB of stack, and this process may have 64: raise the limit, with \
         `ulimit -s 512`\n"
    );
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_command_has_the_limits_that_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let hard = rustix::process::getrlimit(Resource::Stack).maximum;
    let hard_kib = hard.map_or_else(|| "unlimited".to_owned(), |hard| (hard >> 10).to_string());
    let show = "ulimit -S -s; ulimit -H -s";
    for strict in [&[][..], &["--strict"]] {
        let log = folder.path().join(format!("log{}", strict.len()));
        let log: &Path = &log;
        let mut words = vec![PROGRAM, "record", "--cpus", "1", "-o"];
        words.push(log.to_str().unwrap());
        words.extend(strict);
        words.extend(["--", "sh", "-c", show]);
        let output = run(&words, hard);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let expected = format!("64\n{hard_kib}\n");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn too_little_memory_is_told_before_it_runs_out() {
    for (resource, option) in [(Resource::Data, "-d"), (Resource::As, "-v")] {
        let mut command = Command::new(PROGRAM);
        command.args(["record", "--cpus", "1", "--duration", "1s"]);
        let limit = move || {
            let limit = Rlimit {
                current: Some(90 << 20),
                maximum: Some(90 << 20),
            };
            setrlimit(resource, limit).map_err(std::io::Error::from)
        };
        // SAFETY: one system call that takes no lock and no memory.
        unsafe { command.pre_exec(limit) };
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert!(
            sentence.contains(&format!("`ulimit {option} ")),
            "{sentence}"
        );
    }
}
