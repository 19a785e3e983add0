//! The binary with bad input: one sentence, exit status 2, nothing left behind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails as tests do"
)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The binary, on a recorded host.
fn isol_trace(host: &str, words: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/host")
        .join(host);
    assert!(root.is_dir(), "no recorded host {host}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
    command
        .args(words)
        .env("ISOL_TRACE_ROOT", root)
        .env("PATH", "/usr/bin:/bin")
        .env("RUST_BACKTRACE", "1");
    command
}

/// The sentence with which the binary refuses a request, after checking that it is one
/// line, on stderr alone, and that the exit status is 2.
fn refusal(mut command: Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(stdout.is_empty(), "stdout of a refusal: {stdout:?}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    stderr
        .strip_prefix("isol-trace: ")
        .and_then(|line| line.strip_suffix('\n'))
        .unwrap_or_else(|| panic!("not a sentence of ours: {stderr}"))
        .to_owned()
}

#[test]
fn malformed_requests_are_refused() {
    for (words, expected) in [
        (
            &["record", "--cpus", "1-x"][..],
            "invalid value '1-x' for '--cpus <LIST>': 'x' is not a CPU number; a list looks like \
             1-3,5 (see isol-trace record --help)",
        ),
        (
            &["record", "--cpus", ""],
            "invalid value '' for '--cpus <LIST>': the list names no CPU; a list looks like 1-3,5 \
             (see isol-trace record --help)",
        ),
        (
            &["top", "--cpus", "3-1"],
            "invalid value '3-1' for '--cpus <LIST>': the range 3-1 runs backwards (see \
             isol-trace top --help)",
        ),
        (
            &["record", "--cpus", "4096"],
            "invalid value '4096' for '--cpus <LIST>': CPU 4096 is above 4095, the highest that \
             isol-trace can name (see isol-trace record --help)",
        ),
        (
            &["record", "--cpus", "1\n2"],
            "invalid value '1 2' for '--cpus <LIST>': '1 2' is not a CPU number; a list looks \
             like 1-3,5 (see isol-trace record --help)",
        ),
        (
            &["record", "--duration", "60"],
            "invalid value '60' for '--duration <TIME>': a time has a unit: did you mean 60s? \
             (see isol-trace record --help)",
        ),
        (
            &["record", "--duration", "soon"],
            "invalid value 'soon' for '--duration <TIME>': a time is a whole number with a unit \
             (us, ms, s, m, h), such as 500ms, 60s or 10m (see isol-trace record --help)",
        ),
        (
            &["record", "--ring-size", "3K"],
            "invalid value '3K' for '--ring-size <SIZE>': a ring's size is a power of two from 4K \
             to 256M (see isol-trace record --help)",
        ),
        (
            &["record", "--pid", "0"],
            "invalid value '0' for '--pid <N>': a process number is a whole number from 1 (see \
             isol-trace record --help)",
        ),
        (
            &["record", "--comm", "a-name-of-17-byte"],
            "invalid value 'a-name-of-17-byte' for '--comm <NAME>': the kernel keeps 15 bytes of \
             a thread's name; give the first 15: 'a-name-of-17-by' (see isol-trace record --help)",
        ),
        (
            &["doctor", "--cpus", "1-x"],
            "invalid value '1-x' for '--cpus <LIST>': 'x' is not a CPU number; a list looks like \
             1-3,5 (see isol-trace doctor --help)",
        ),
        (
            &["record", "--from-prctl"],
            "--from-prctl starts the account when CMD says that it is isolated, and there is no \
             CMD: name it after --, as in `isol-trace record --from-prctl -- ./my-task`",
        ),
        (
            &["record", "ls"],
            "unexpected argument 'ls' found; a command to start comes after --, as in \
             '-- ls' (see isol-trace record --help)",
        ),
        (
            &["daemon"],
            "unrecognized subcommand 'daemon' (see isol-trace --help)",
        ),
        (
            &[],
            "'isol-trace' requires a subcommand but one was not provided [subcommands: top, \
             record, explain, report, doctor, schema, completions, man, help] (see isol-trace --help)",
        ),
    ] {
        // A host that would be refused, too: what was typed comes first.
        assert_eq!(refusal(isol_trace("unprivileged", words)), expected);
    }
}

#[test]
fn explain_wants_a_log_or_a_command() {
    for (words, expected) in [
        (
            &["explain"][..],
            "explain reads a log or starts a command: `isol-trace explain LOG` or `isol-trace \
             explain -- CMD`",
        ),
        (
            &["explain", "-o", "-", "--", "ls"],
            "explain tells on stdout what happened: name a file for the log, as in `-o log.jsonl`",
        ),
        (
            &["explain", "log", "--cpus", "1"],
            "the argument '[LOG]' cannot be used with '--cpus <LIST>' (see isol-trace explain \
             --help)",
        ),
        (
            &["explain", "log", "--", "ls"],
            "the argument '[LOG]' cannot be used with '[CMD] [ARG]...' (see isol-trace explain \
             --help)",
        ),
        (
            &["explain", "no/such/log"],
            "cannot read the log 'no/such/log': No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(refusal(isol_trace("unprivileged", words)), expected);
    }
}

#[test]
fn completions_name_the_shells() {
    let sentence = refusal(isol_trace("nohz-full", &["completions", "tcsh"]));
    assert!(
        sentence.contains("'tcsh'") && sentence.contains("bash"),
        "{sentence}"
    );
}

#[test]
fn wrong_hosts_are_refused() {
    for (host, words, expected) in [
        (
            "cgroup-v1",
            &["record"][..],
            "no CPU of this host is isolated: boot it with nohz_full=LIST isolcpus=LIST, or name \
             the CPUs to watch with --cpus LIST",
        ),
        (
            "cgroup-v1",
            &["doctor"],
            "no CPU of this host is isolated: boot it with nohz_full=LIST isolcpus=LIST, or name \
             the CPUs to watch with --cpus LIST",
        ),
        (
            "unprivileged",
            &["record", "--cpus", "1,9-11"],
            "--cpus: CPUs 9-11 do not exist on this host, which has CPUs 0-3",
        ),
        (
            "offline-cpu",
            &["record", "--cpus", "3"],
            "--cpus: CPU 3 is offline: bring it online, as with `echo 1 > \
             /sys/devices/system/cpu/cpu3/online`, or leave it out",
        ),
        (
            "all-offline",
            &["record"],
            "every isolated CPU of this host (2-3) is offline: bring one online, as with `echo 1 \
             > /sys/devices/system/cpu/cpu2/online`, or name the CPUs to watch with --cpus LIST",
        ),
        (
            "nohz-full",
            &["record", "--cpus", "0-3"],
            "watching CPUs 0-3 leaves no housekeeping CPU for isol-trace itself to run on: leave \
             at least one online CPU out, with --cpus LIST",
        ),
        (
            "nohz-full",
            &["record", "--pid", "149"],
            "--pid 149: there is no process or thread with this number",
        ),
        (
            "pid-namespace",
            &["record", "--pid", "1"],
            "--pid 1: inside of a PID namespace, as in a container, numbers are not those that \
             the kernel's probes see: name the task with --comm, or run isol-trace on the host \
             itself",
        ),
        (
            "locked-down",
            &["record"],
            "this kernel is locked down (/sys/kernel/security/lockdown says confidentiality), so \
             that probes may not read its memory: boot it without lockdown=confidentiality",
        ),
        (
            "unprivileged",
            &["record"],
            "loading probes needs the capabilities CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), \
             and this process lacks both: run isol-trace as root, or let only a group run it, and \
             give it cap_bpf,cap_perfmon,cap_syslog,cap_sys_ptrace+ep (docs/commands.md#privileges)",
        ),
        (
            "user-namespace",
            &["record"],
            "the kernel honours CAP_BPF and CAP_PERFMON only outside of user namespaces, and this \
             process is inside one, as in a rootless container: run isol-trace on the host itself",
        ),
        (
            "no-btf",
            &["record"],
            "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing): boot one built with \
             CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are",
        ),
        (
            "unprivileged",
            &["record", "--", "no-such-program-anywhere"],
            "cannot start 'no-such-program-anywhere': no folder of PATH has a program of this name",
        ),
        (
            "unprivileged",
            &["record", "--", "/etc/passwd"],
            "cannot start '/etc/passwd': it is not executable (chmod +x would make it so)",
        ),
        (
            "nohz-full",
            &["top"],
            "top draws on a terminal, and stdout is none: use `isol-trace record` for a file or a \
             pipe",
        ),
    ] {
        assert_eq!(refusal(isol_trace(host, words)), expected, "on {host}");
    }
    let sentence = refusal(isol_trace("garbled", &["record"]));
    assert!(
        sentence.ends_with(
            "nohz_full holds no CPU list: '2;3' is not a CPU number; a list looks like 1-3,5"
        ),
        "{sentence}"
    );
}

#[test]
fn a_log_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no/such/folder/log");
    for (path, why) in [
        (nowhere, "No such file or directory (os error 2)"),
        (folder.path().to_owned(), "Is a directory (os error 21)"),
        (
            PathBuf::from("/proc/log"),
            "No such file or directory (os error 2)",
        ),
    ] {
        let name = path.to_str().unwrap();
        assert_eq!(
            refusal(isol_trace("nohz-full", &["record", "-o", name])),
            format!("cannot write the log to '{name}': {why}")
        );
    }
}

#[test]
fn a_refusal_leaves_the_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    fs::write(&old, "an older log\n").unwrap();
    for path in [&new, &old] {
        refusal(isol_trace(
            "no-btf",
            &["record", "-o", path.to_str().unwrap()],
        ));
    }
    assert!(!new.exists());
    assert_eq!(fs::read(&old).unwrap(), b"an older log\n");
}

#[test]
fn a_live_host_without_proc_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = isol_trace("nohz-full", &["record"]);
    command.env("ISOL_TRACE_ROOT", empty.path());
    let sentence = refusal(command);
    assert!(
        sentence.ends_with("is missing: isol-trace needs /proc and /sys mounted"),
        "{sentence}"
    );
}

#[test]
fn words_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\x1b[2J");
    let mut command = isol_trace("nohz-full", &["record", "--cpus"]);
    command.arg(bytes);
    let sentence = refusal(command);
    assert!(!sentence.contains('\u{1b}'), "{sentence:?}");
    let mut command = isol_trace("nohz-full", &[]);
    command.arg(bytes);
    refusal(command);
}

#[test]
fn a_closed_stdout_is_no_error() {
    for words in [
        &["--help"][..],
        &["man"],
        &["completions", "bash"],
        &["--version"],
        &["schema"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = isol_trace("nohz-full", words);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(output.status.signal(), None);
        assert!(output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn a_full_stdout_is_one() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = isol_trace("nohz-full", &["man"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "isol-trace: cannot write to stdout: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_closed_stderr_leaves_the_exit_status() {
    let mut command = isol_trace("nohz-full", &["record", "--duration", "soon"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command
        .stderr(writer)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn the_search_path_is_that_of_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("task");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = isol_trace("unprivileged", &["record", "--", "task"]);
    command.env("PATH", folder.path());
    // Found: what is refused now is the host.
    assert!(refusal(command).starts_with("loading probes needs"));
}

/// The binary, started by a shell with a redirection.
fn redirected(words: &[&str], redirection: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("exec \"$0\" \"$@\" {redirection}"))
        .arg(env!("CARGO_BIN_EXE_isol-trace"))
        .args(words);
    shell.env(
        "ISOL_TRACE_ROOT",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/nohz-full"),
    );
    shell
}

/// Nobody is there to read it, and it is not that somebody has read enough.
#[test]
fn a_stdout_that_is_not_there_is_refused() {
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/explain/killed.jsonl");
    for words in [
        &["record"][..],
        &["record", "-o", "-"],
        &["record", "-o", "/dev/stdout"],
        &["record", "-o", "log", "--dry-run"],
        &["explain", log],
        &["explain", "--", "true"],
        &["report", "--format", "csv", log],
        &["doctor"],
        &["doctor", "--json"],
        &["schema"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["record", "--help"],
        &["--version"],
    ] {
        for redirection in [">&-", "1</dev/null", "<&- >&-"] {
            assert_eq!(
                refusal(redirected(words, redirection)),
                "cannot write to stdout: it is closed, or open for reading alone",
                "{words:?} {redirection}"
            );
        }
    }
    assert!(!Path::new("log").exists());
}

#[test]
fn a_stdin_that_is_not_there_is_refused() {
    for words in [&["explain", "-"][..], &["report", "--format", "csv", "-"]] {
        for redirection in ["<&-", "0>/dev/null"] {
            assert_eq!(
                refusal(redirected(words, redirection)),
                "cannot read the log 'stdin': it is closed, or open for writing alone",
                "{words:?} {redirection}"
            );
        }
    }
}

/// Whoever throws away what is written has said so.
#[test]
fn streams_that_lead_nowhere_are_taken() {
    for redirection in [
        ">/dev/null",
        "1<>/dev/null",
        "<&- >/dev/null",
        "2>&- >/dev/null",
    ] {
        let output = redirected(&["schema"], redirection).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{redirection}");
        assert!(output.stderr.is_empty(), "{redirection}");
    }
}

/// The status is all that there is then.
#[test]
fn a_stderr_that_is_not_there_leaves_the_exit_status() {
    let words = ["record", "--duration", "soon"];
    let output = redirected(&words, "2>&-").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
