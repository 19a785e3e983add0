//! `record --strict -- CMD` on this host's own kernel: CMD and its tracer have one end, and one terminal.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Beyond this it hangs. No time is asserted below it: the machine may be busy.
const HANGS: Duration = Duration::from_mins(1);

/// `isol-trace record --strict`, watching CPU 1, with a log and a shell as CMD.
fn strict(log: &Path, script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
    command
        .args(["record", "--strict", "--cpus", "1", "-o"])
        .arg(log)
        .args(["--", "sh", "-c", script]);
    command
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < HANGS, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("it does not end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// The processes with these words.
fn with_words(words: &[&str]) -> Vec<u32> {
    let words: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            fs::read(process.path().join("cmdline")).is_ok_and(|it| it == words.as_bytes())
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// A number of seconds to sleep that no other process has.
fn mark(test: u32) -> String {
    format!("{}", 1_000_000 + 10 * std::process::id() + test)
}

/// The guards that are children of a process.
fn guard_of(tracer: &Child) -> Option<u32> {
    let parent = format!("\nPPid:\t{}\n", tracer.id());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut found = processes.filter(|process| {
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        status.starts_with("Name:\tisol-guard\n") && status.contains(&parent)
    });
    found.next()?.file_name().to_str()?.parse().ok()
}

fn send(pid: u32, signal: i32) {
    // SAFETY: no memory is involved.
    let sent = unsafe { libc::kill(pid.cast_signed(), signal) };
    assert_eq!(sent, 0);
}

/// What the test below starts as CMD.
#[test]
#[ignore = "is the command of another test"]
fn is_a_task_that_breaks_its_word() {
    // SAFETY: no memory is involved; a kernel without task isolation answers EINVAL.
    unsafe { libc::prctl(0x4953_4f4c, 1, 0, 0, 0) };
    let _breach = rustix::process::getppid();
}

/// In another PID namespace the tracer has another number than the probes see.
#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_command_that_breaks_its_word_is_killed_also_in_another_pid_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    for (name, prefix) in [
        ("first", &["env"][..]),
        ("other", &["unshare", "--pid", "--fork", "--mount-proc"]),
    ] {
        let log = folder.path().join(name);
        let mut child = Command::new(prefix[0])
            .args(&prefix[1..])
            .arg(env!("CARGO_BIN_EXE_isol-trace"))
            .args(["record", "--strict", "--cpus", "1", "-o"])
            .args([&log, Path::new("--"), &program])
            .args(["--exact", "is_a_task_that_breaks_its_word", "--ignored"])
            .args(["--nocapture", "--test-threads=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(ended(&mut child).code(), Some(128 + 9), "{name}");
        let log = fs::read_to_string(&log).unwrap();
        let is_ours = |line: &&str| {
            line.starts_with("{\"type\":\"kill\"") && line.contains("\"by\":\"tracer\"")
        };
        assert_eq!(log.lines().filter(is_ours).count(), 1, "{name}");
    }
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_strict_command_and_its_children_do_not_outlive_their_tracer() {
    let folder = tempfile::tempdir().unwrap();
    let mark = mark(1);
    let other = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let script = format!("(setsid sleep {mark} &); exec {other} sleep {mark}");
    let mut child = strict(&folder.path().join("log"), &script)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sleepers = || with_words(&["sleep", &mark]).len();
    until("they do not begin", || sleepers() == 2);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    until("they go on unwatched", || sleepers() == 0);
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_strict_command_whose_guard_is_killed_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, mark) = (folder.path().join("log"), mark(2));
    let other = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let mut child = strict(&log, &format!("exec {other} sleep {mark}"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("it does not begin", || {
        with_words(&["sleep", &mark]).len() == 1
    });
    send(guard_of(&child).unwrap(), libc::SIGKILL);
    assert_eq!(ended(&mut child).code(), Some(128 + 9));
    until("it goes on", || with_words(&["sleep", &mark]).is_empty());
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("somebody ended the guard"), "{said}");
    let log = fs::read_to_string(&log).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("{\"type\":\"summary\""), "{last}");
}

/// A terminal of its own, with the session that it controls still to come.
struct Terminal {
    keys: fs::File,
    name: PathBuf,
}

impl Terminal {
    fn open() -> Self {
        // SAFETY: no memory is involved.
        let number = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
        assert!(number >= 0);
        // SAFETY: the kernel has just made it, for nobody else.
        let keys = fs::File::from(unsafe { OwnedFd::from_raw_fd(number) });
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::unlockpt(keys.as_raw_fd()) }, 0);
        let mut index = 0_u32;
        // SAFETY: the kernel writes the number, which outlives the call.
        let asked = unsafe { libc::ioctl(keys.as_raw_fd(), libc::TIOCGPTN, &raw mut index) };
        assert_eq!(asked, 0);
        let name = PathBuf::from(format!("/dev/pts/{index}"));
        Self { keys, name }
    }

    /// Starts a command that it controls, as the leader of a session.
    fn start(&self, mut command: Command) -> Child {
        let end = || {
            let mut options = fs::File::options();
            options.read(true).write(true).open(&self.name).unwrap()
        };
        command.stdin(end()).stdout(end()).stderr(end());
        let lead = || {
            // SAFETY: no memory is involved.
            if unsafe { libc::setsid() } < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // SAFETY: no memory is involved; the argument is a number.
            match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: two system calls that take no lock and no memory.
        unsafe { command.pre_exec(lead) };
        command.spawn().unwrap()
    }

    fn press(&mut self, key: u8) {
        self.keys.write_all(&[key]).unwrap();
    }

    /// What comes until this does.
    fn read_to(&mut self, word: &str) -> String {
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains(word) {
            let mut some = [0; 256];
            let bytes = self.keys.read(&mut some).unwrap();
            text.extend_from_slice(&some[..bytes]);
        }
        String::from_utf8(text).unwrap()
    }
}

#[test]
#[ignore = "needs root, and a kernel with BTF"]
fn a_key_of_the_terminal_reaches_a_strict_command_once() {
    const CTRL_C: u8 = 3;
    const CTRL_Z: u8 = 0x1a;
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo has-int' INT; trap 'echo has-term; exit 5' TERM; echo has-begun; while :; do sleep 0.1; done";
    let mut terminal = Terminal::open();
    let mut child = terminal.start(strict(&folder.path().join("log"), script));
    terminal.read_to("has-begun");
    // Nobody could continue what this stopped, and so it stops nothing: the group is an orphaned one.
    terminal.press(CTRL_Z);
    terminal.press(CTRL_C);
    let mut text = terminal.read_to("has-int");
    send(child.id(), libc::SIGTERM);
    text += &terminal.read_to("has-term");
    assert_eq!(text.matches("has-int").count(), 1, "{text}");
    assert_eq!(ended(&mut child).code(), Some(5));
}
