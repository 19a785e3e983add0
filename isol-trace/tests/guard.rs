//! The guard of strict mode, with a process that stands for the tracer: what it ends, and what it leaves as it is.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails as tests do"
)]

use std::{
    fs,
    io::{IoSliceMut, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags,
    SocketType, recvmsg, send, socketpair,
};
use serde::Deserialize;

/// Beyond this it hangs. No time is asserted below it: the machine may be busy.
const HANGS: Duration = Duration::from_mins(1);

/// What the guard says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
enum Report {
    Started(i32),
    Refused(i32),
    Ended(i32),
}

/// A guard, and what its command prints.
struct Guard {
    /// The tracer's end of the socket.
    socket: OwnedFd,
    child: Child,
}

/// Clears the mark by which a descriptor is closed at `execve`.
fn inherit(command: &mut Command, descriptor: &OwnedFd) {
    let number = descriptor.as_raw_fd();
    let clear = move || {
        // SAFETY: no memory is involved, and a number that is no descriptor is an error.
        match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: one system call that takes no lock and no memory.
    unsafe { command.pre_exec(clear) };
}

impl Guard {
    /// Starts one, for a command that may run on CPU 0.
    fn start(program: &str, words: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
        Self::start_by(command, program, words)
    }

    /// The same by a command line that ends with our program.
    fn start_by(mut command: Command, program: &str, words: &[&str]) -> Self {
        let flags = SocketFlags::CLOEXEC;
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        command
            .args(["__guard", &theirs.as_raw_fd().to_string(), "0", program])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        inherit(&mut command, &theirs);
        let child = command.spawn().unwrap();
        Self { socket, child }
    }

    /// The same with a shell as the command, and its number.
    fn shell(script: &str) -> (Self, i32) {
        Self::start("/bin/sh", &["sh", "-c", script]).begun()
    }

    /// Waits until its command runs.
    fn begun(self) -> (Self, i32) {
        let guard = self;
        match guard.hear().unwrap() {
            (Report::Started(pid), Some(_)) => (guard, pid),
            other => panic!("{other:?}"),
        }
    }

    /// What it says next; `None` at its end.
    fn hear(&self) -> Option<(Report, Option<OwnedFd>)> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut extra = RecvAncillaryBuffer::new(&mut room);
        let mut packet = [0; 64];
        let into = &mut [IoSliceMut::new(&mut packet)];
        let bytes = recvmsg(&self.socket, into, &mut extra, RecvFlags::empty())
            .map_or(0, |received| received.bytes);
        let mut descriptor = None;
        for message in extra.drain() {
            if let RecvAncillaryMessage::ScmRights(mut all) = message {
                descriptor = all.next();
            }
        }
        (bytes > 0).then(|| (postcard::from_bytes(&packet[..bytes]).unwrap(), descriptor))
    }

    /// Hands the tracer's end to a process that dies of SIGKILL.
    fn tracer_dies(self) -> Child {
        let mut tracer = Command::new("/bin/sleep");
        tracer.arg("1000");
        inherit(&mut tracer, &self.socket);
        let mut tracer = tracer.spawn().unwrap();
        drop(self.socket);
        tracer.kill().unwrap();
        assert_eq!(tracer.wait().unwrap().signal(), Some(9));
        self.child
    }

    /// Tells it that all is well.
    fn farewell(&self) {
        send(&self.socket, b"farewell", SendFlags::NOSIGNAL).unwrap();
    }
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < HANGS, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn ended(mut child: Child) -> ExitStatus {
    let mut status = None;
    until("the guard does not end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// A number of seconds to sleep that no other process has.
fn mark(test: u32) -> String {
    format!("{}", 1_000_000 + 10 * std::process::id() + test)
}

/// The processes that sleep so long.
fn sleepers(mark: &str) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .map(|process| process.path())
        .filter(|path| {
            let words = fs::read(path.join("cmdline")).unwrap_or_default();
            words == format!("sleep\0{mark}\0").as_bytes()
        })
        .collect()
}

/// A field of a process's status.
fn status_of(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

#[test]
fn the_status_of_the_command_is_told_and_a_farewell_ends_the_guard() {
    for (script, status) in [("exit 7", 7 << 8), ("kill -TERM $$", 15)] {
        let (guard, _) = Guard::shell(script);
        assert_eq!(guard.hear().unwrap().0, Report::Ended(status));
        guard.farewell();
        assert!(guard.hear().is_none());
        assert_eq!(ended(guard.child).code(), Some(0));
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_refused() {
    let guard = Guard::start("/no/such/program", &["program"]);
    let (report, process) = guard.hear().unwrap();
    assert_eq!(report, Report::Refused(libc::ENOENT));
    assert!(process.is_none());
    assert_eq!(ended(guard.child).code(), Some(0));
}

/// What is started from a shell in each way that leaves its parent, its session and its group: nine sleepers.
fn scatter(mark: &str) -> String {
    format!(
        "sleep {mark} & setsid sleep {mark} & (sleep {mark} &) & (setsid sh -c '(sleep {mark} &) ; exec sleep {mark}' &) ; \
         setsid sh -c 'trap \"\" TERM HUP INT; sleep {mark} & exec sleep {mark}' & \
         (kill -STOP $(sh -c 'echo $PPID'); exec sleep {mark}) & \
         exec sleep {mark}"
    )
}

/// One of the nine is stopped before it sleeps.
const SCATTERED: usize = 8;

#[test]
fn all_that_the_command_has_started_ends_with_the_tracer() {
    let mark = mark(1);
    let (guard, _) = Guard::shell(&scatter(&mark));
    until("they do not begin", || sleepers(&mark).len() == SCATTERED);
    let guard = guard.tracer_dies();
    assert_eq!(ended(guard).code(), Some(0));
    // The guard ends when nothing is left.
    assert_eq!(sleepers(&mark), Vec::<PathBuf>::new());
}

#[test]
#[ignore = "needs root"]
fn what_has_changed_its_user_ends_too() {
    let mark = mark(2);
    let other = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let script = format!("{other} setsid sleep {mark} & exec {other} sleep {mark}");
    let (guard, _) = Guard::shell(&script);
    until("they do not begin", || {
        let all = sleepers(&mark);
        let is_other = |path: &PathBuf| {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            status.contains("\nUid:\t65534\t65534")
        };
        all.len() == 2 && all.iter().all(is_other)
    });
    let guard = guard.tracer_dies();
    assert_eq!(ended(guard).code(), Some(0));
    assert_eq!(sleepers(&mark), Vec::<PathBuf>::new());
}

/// Then the kernel's list has the numbers of another namespace.
#[test]
#[ignore = "needs root"]
fn children_are_found_without_a_list_of_them() {
    let mark = mark(5);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", env!("CARGO_BIN_EXE_isol-trace")]);
    let script = format!("setsid sleep {mark} & exec sleep {mark}");
    let guard = Guard::start_by(command, "/bin/sh", &["sh", "-c", &script]);
    let (guard, _) = guard.begun();
    until("they do not begin", || sleepers(&mark).len() == 2);
    let unshare = guard.tracer_dies();
    assert_eq!(ended(unshare).code(), Some(0));
}

#[test]
fn a_tracer_that_says_farewell_leaves_what_the_command_left() {
    let mark = mark(3);
    let (guard, _) = Guard::shell(&format!("setsid sleep {mark} & exit 0"));
    assert_eq!(guard.hear().unwrap().0, Report::Ended(0));
    until("it does not begin", || sleepers(&mark).len() == 1);
    guard.farewell();
    assert_eq!(ended(guard.child).code(), Some(0));
    let left = sleepers(&mark);
    assert_eq!(left.len(), 1);
    let pid = left[0].file_name().unwrap().to_str().unwrap().to_owned();
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid.parse().unwrap(), libc::SIGKILL) };
}

#[test]
fn a_command_ends_with_its_guard() {
    let mark = mark(4);
    let (mut guard, _) = Guard::shell(&format!("exec sleep {mark}"));
    until("it does not begin", || sleepers(&mark).len() == 1);
    guard.child.kill().unwrap();
    guard.child.wait().unwrap();
    until("it goes on", || sleepers(&mark).is_empty());
}

#[test]
fn the_command_has_what_it_would_have_without_a_guard() {
    let words = "SigBlk|SigIgn|CapEff|Cpus_allowed_list|THP_enabled";
    let show = format!("grep -E '{words}' /proc/self/status; ls /proc/self/fd; ulimit -n");
    let direct = {
        let mut command = Command::new("/bin/sh");
        let command = command.args(["-c", &show]).stdin(Stdio::null());
        let first = CpuZero::pin(command);
        String::from_utf8(first.output().unwrap().stdout).unwrap()
    };
    let (mut guard, _) = Guard::shell(&show);
    assert_eq!(guard.hear().unwrap().0, Report::Ended(0));
    let mut stdout = String::new();
    let mut pipe = guard.child.stdout.take().unwrap();
    // The guard has closed its own end.
    pipe.read_to_string(&mut stdout).unwrap();
    assert_eq!(stdout, direct);
    guard.farewell();
    assert_eq!(ended(guard.child).code(), Some(0));
}

/// Puts a command on CPU 0.
struct CpuZero;

impl CpuZero {
    fn pin(command: &mut Command) -> &mut Command {
        let pin = || {
            let mask = 1_u64;
            // SAFETY: the kernel reads the mask, which outlives the call.
            match unsafe { libc::sched_setaffinity(0, 8, (&raw const mask).cast()) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: one system call that takes no lock and no memory.
        unsafe { command.pre_exec(pin) }
    }
}

#[test]
fn the_guard_keeps_nothing_but_the_right_to_kill() {
    let (guard, command) = Guard::shell("exec sleep 1000");
    let pid = guard.child.id();
    let kill = 1_u64 << 5;
    for field in ["CapEff", "CapPrm", "CapInh"] {
        let set = u64::from_str_radix(&status_of(pid, field), 16).unwrap();
        assert_eq!(set & !kill, 0, "{field}");
    }
    // Whatever the terminal or the group's signals say, but SIGKILL and SIGSTOP.
    let all = (1_u64 << 31) - 1;
    let fatal = all & !(1 << 8) & !(1 << 18);
    let blocked = u64::from_str_radix(&status_of(pid, "SigBlk"), 16).unwrap();
    assert_eq!(blocked & fatal, fatal);
    // It is 0 where init began no session, or the leader is in another PID namespace: no number for rustix.
    // SAFETY: no memory is involved.
    let session = |pid: u32| unsafe { libc::getsid(pid.cast_signed()) };
    assert_ne!(session(pid), session(command.cast_unsigned()));
    assert_eq!(
        session(command.cast_unsigned()),
        session(std::process::id())
    );
    let target = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    for name in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(target(name), PathBuf::from("/dev/null"));
    }
    assert_eq!(target("cwd"), PathBuf::from("/"));
    // Beside these the socket, and the descriptor of its children's ends. That of the command is closed once it has been sent.
    let open = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    until("it keeps more open than it needs", || open() == 5);
    let guard = guard.tracer_dies();
    assert_eq!(ended(guard).code(), Some(0));
}

#[test]
fn who_types_the_word_is_told() {
    for words in [
        &[][..],
        &["0", "0", "/bin/true", "true"],
        &["77", "0", "/bin/true", "true"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
            .arg("__guard")
            .args(words)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("isol-trace: __guard is started by isol-trace itself"),
            "{said}"
        );
    }
}
