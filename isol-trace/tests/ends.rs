//! How a recording ends, on this host's own kernel: whatever stdout does, whenever a signal comes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails as tests do"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Beyond this it hangs. No time is asserted below it: the machine may be busy.
const HANGS: Duration = Duration::from_mins(1);

/// `isol-trace` with these words, watching CPU 1.
fn isol_trace(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
    let (first, more) = words.split_first().unwrap();
    command
        .args([*first, "--cpus", "1"])
        .args(more)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn send(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: no memory is involved; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Waits for its end, and reads what it said on stderr.
fn end(mut child: Child) -> (ExitStatus, String) {
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    let stderr = child.stderr.take();
    stderr.unwrap().read_to_string(&mut said).unwrap();
    (status, said)
}

/// Waits until a file has its first line.
fn begun(path: &Path) {
    let begun = Instant::now();
    while !fs::read(path).is_ok_and(|log| log.contains(&b'\n')) {
        assert!(begun.elapsed() < HANGS, "it does not begin");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A program that goes on entering the kernel.
const BUSY: &str = "while :; do cd /; done";

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_stdout_that_nobody_reads_keeps_nothing_from_ending() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = isol_trace(&["record", "--", "sh", "-c", BUSY]);
    let child = command.stdout(writer).spawn().unwrap();
    drop(command);
    // The header has come, so the account has begun; nothing is read from here on.
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut header = String::new();
    reader.read_line(&mut header).unwrap();
    assert!(header.starts_with("{\"type\":\"header\""), "{header}");
    thread::sleep(Duration::from_secs(2));
    send(&child, libc::SIGTERM);
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains("the log ends early: nobody reads stdout, and "),
        "{said}"
    );
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_signal_before_the_account_begins_is_an_end_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        let mut command = isol_trace(&["record", "-o", path.to_str().unwrap()]);
        let mut child = command.spawn().unwrap();
        // It says that it attaches, which takes longer than the signal does.
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert_eq!(line, "isol-trace: attaching probes for CPU 1 …\n");
        send(&child, signal);
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(
            said,
            format!("isol-trace: nothing was recorded: {name} came before the trace had begun\n")
        );
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal));
        assert!(!path.exists());
    }
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_file_is_private_and_names_steer_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = path.to_str().unwrap();
    // Bash runs commands with the name of the file; the kernel keeps 15 bytes of it.
    let name = "\u{1b}[2J\n\u{202e}x\u{9b}y";
    let program = folder.path().join(name);
    fs::copy("/bin/sh", &program).unwrap();
    let program = program.to_str().unwrap();
    let child = isol_trace(&["record", "-o", log, "--", program, "-c", "kill -9 $$"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(128 + 9), "{said}");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(said.contains("was killed on CPU 1 by itself: "), "{said}");
    assert!(
        said.contains(&format!("next: isol-trace explain {log}")),
        "{said}"
    );
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.lines()
            .last()
            .unwrap()
            .starts_with("{\"type\":\"summary\"")
    );
    // JSON has the name as it is.
    let comms: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["task"]["comm"].as_str().map(str::to_owned)
        })
        .collect();
    assert!(comms.iter().any(|comm| comm == name), "{comms:?}");
    let explained = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .args(["explain", log])
        .output()
        .unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    for text in [&said, &explained] {
        assert!(text.contains("\\u{1b}[2J\\n\\u{202e}x\\u{9b}y"), "{text:?}");
        let steers = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
        assert!(!text.contains(steers), "{text:?}");
    }
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_log_that_is_deleted_ends_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let child = isol_trace(&["record", "-o", path.to_str().unwrap()])
        .spawn()
        .unwrap();
    begun(&path);
    fs::remove_file(&path).unwrap();
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains("cannot be relied on: somebody deleted it"),
        "{said}"
    );
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_forbidden_bpf_is_explained() {
    use std::os::unix::process::CommandExt as _;
    let mut command = isol_trace(&["record", "--duration", "1s"]);
    let forbid = || {
        let statement = |code: u32, jump_true: u8, jump_false: u8, value: u32| libc::sock_filter {
            code: u16::try_from(code).unwrap_or(0),
            jt: jump_true,
            jf: jump_false,
            k: value,
        };
        let number = u32::try_from(libc::SYS_bpf).unwrap_or(0);
        // The number of the system call is the first word of what a filter sees (seccomp(2)).
        let mut filter = [
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
            statement(
                libc::BPF_RET | libc::BPF_K,
                0,
                0,
                libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
            ),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: 4,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the kernel copies the program, which lives until the call returns.
        let set = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
        };
        match set {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: one system call on memory of the closure's own.
    unsafe { command.pre_exec(forbid) };
    let (status, said) = end(command.stdout(Stdio::null()).spawn().unwrap());
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("Operation not permitted"), "{said}");
    assert!(said.contains("seccomp filter of a container"), "{said}");
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_program_that_is_cut_short_is_not_given_to_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let (path, program) = (folder.path().join("log"), folder.path().join("program"));
    fs::write(&program, b"\x7fELF\n: > was-run\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let words = [
        "record",
        "-o",
        path.to_str().unwrap(),
        "--",
        program.to_str().unwrap(),
    ];
    let child = isol_trace(&words)
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains("no program that this machine can execute"),
        "{said}"
    );
    assert!(!path.exists() && !folder.path().join("was-run").exists());
}

/// Closed streams keep no log from its file, and a command's own writing to one fails as it does without isol-trace.
#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_closed_stdout_is_in_the_way_of_nothing_that_is_not_written_there() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let status = folder.path().join("status");
    let task = format!("echo lost; echo $? > {}", status.display());
    let mut shell = Command::new("sh");
    let recorded = shell
        .args(["-c", "exec \"$0\" \"$@\" >&- <&-"])
        .arg(env!("CARGO_BIN_EXE_isol-trace"))
        .args(["record", "--cpus", "1", "-o", log.to_str().unwrap()])
        .args(["--", "sh", "-c", &task])
        .output()
        .unwrap();
    let said = String::from_utf8(recorded.stderr).unwrap();
    assert_eq!(recorded.status.code(), Some(0), "{said}");
    assert_eq!(recorded.stdout, b"");
    let text = fs::read_to_string(&log).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("{\"type\":\"summary\""), "{last}");
    // What a shell's `echo` says of a write that failed.
    assert_ne!(fs::read_to_string(&status).unwrap(), "0\n", "{said}");
}

/// What a command has started is its own, also where its parent is no more; whoever else was killed there is not.
#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn what_a_command_has_started_is_told_as_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = "sh -c 'kill -KILL $$'; (setsid sh -c 'kill -USR1 $$; :' &) ; touch ready; \
                  until [ -e go ]; do sleep 0.05; done; exit 3";
    let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
    let child = command
        .args(["explain", "--cpus", "1", "-o"])
        .arg(&log)
        .args(["--", "sh", "-c", script])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !folder.path().join("ready").exists() {
        assert!(begun.elapsed() < HANGS, "it does not begin");
        thread::sleep(Duration::from_millis(20));
    }
    let stranger = Command::new("taskset")
        .args(["-c", "1", "sh", "-c", "kill -TERM $$; :"])
        .status()
        .unwrap();
    assert_eq!(stranger.code(), None, "{stranger:?}");
    fs::write(folder.path().join("go"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    let (own, others) = told
        .split_once("\nalso on these CPUs meanwhile, of processes that sh was not seen to start:\n")
        .unwrap_or_else(|| panic!("{told}"));
    for signal in ["killed on CPU 1", "killed (SIGUSR1) on CPU 1"] {
        assert!(own.contains(&format!(" was {signal} by itself")), "{told}");
    }
    assert!(!own.contains("SIGTERM"), "{told}");
    assert!(others.contains(" was killed (SIGTERM) on CPU 1"), "{told}");
    assert!(others.contains("\nsh was not killed: it ended with exit status 3;"));
    let log = fs::read_to_string(&log).unwrap();
    let kills: Vec<_> = log
        .lines()
        .filter(|it| it.starts_with("{\"type\":\"kill\""))
        .collect();
    for (signal, is_own) in [(9, true), (10, true), (15, false)] {
        let of = |it: &&&str| it.contains(&format!("\"signal\":{signal},"));
        let kill = kills
            .iter()
            .find(of)
            .unwrap_or_else(|| panic!("{signal}: {kills:?}"));
        assert_eq!(kill.contains("\"of_command\":true"), is_own, "{kill}");
    }
}
