use std::{
    env,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
};

use super::*;

/// `SI_USER` and `SI_TKILL`.
const BY_PROCESSES: [i32; 2] = [0, -6];

#[test]
fn what_the_terminal_sends_has_the_group() {
    for leads in [false, true] {
        assert!(is_of_group(libc::SIGINT, SI_KERNEL, leads));
        assert!(!is_of_group(libc::SIGTERM, SI_KERNEL, leads));
        for code in BY_PROCESSES {
            assert!(!is_of_group(libc::SIGINT, code, leads));
            assert!(!is_of_group(libc::SIGHUP, code, leads));
        }
    }
    assert!(is_of_group(libc::SIGHUP, SI_KERNEL, false));
    assert!(!is_of_group(libc::SIGHUP, SI_KERNEL, true), "its leader");
}

#[test]
fn what_came_before_the_command_and_what_others_send_is_handed_on() {
    let noted = Noted::new();
    noted.came(libc::SIGINT, SI_KERNEL, false);
    assert!(noted.take(libc::SIGINT), "there is no command yet");
    noted.has_command.store(true, Ordering::Relaxed);
    noted.came(libc::SIGINT, SI_KERNEL, false);
    assert!(!noted.take(libc::SIGINT));
    noted.came(libc::SIGINT, 0, false);
    noted.came(libc::SIGINT, SI_KERNEL, false);
    assert!(!noted.take(libc::SIGTERM), "another one");
    assert!(noted.take(libc::SIGINT), "two at once, one of them sent");
    assert!(!noted.take(libc::SIGINT), "once");
    let first = noted.first.load(Ordering::Relaxed);
    assert_eq!(
        (first, noted.count.load(Ordering::Relaxed)),
        (libc::SIGINT, 4)
    );
}

/// In whose environment the test below is the program of a terminal.
const LISTENS: &str = "ISOL_TRACE_TEST_LISTENS";

/// This test binary, which tells by a pipe of signals, in a session whose terminal is returned.
fn in_a_terminal(test: &str) -> (Child, File) {
    let (mut terminal, mut end) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: both descriptors are written, and nothing else.
    let failed = unsafe {
        libc::openpty(
            &raw mut terminal,
            &raw mut end,
            none,
            none.cast(),
            none.cast(),
        )
    };
    assert_eq!(failed, 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is open, and nobody else's.
    let terminal = unsafe { File::from_raw_fd(terminal) };
    // SAFETY: as above.
    let end = unsafe { OwnedFd::from_raw_fd(end) };
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(LISTENS, "1")
        .stdin(end)
        .stdout(Stdio::piped());
    let lead = || {
        rustix::process::setsid()?;
        // SAFETY: no memory is involved.
        match unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: system calls alone.
    unsafe { command.pre_exec(lead) };
    (command.spawn().unwrap(), terminal)
}

/// Says each signal that comes, until SIGTERM.
fn listen() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut signals = Signals::new().unwrap();
        command_starts();
        let mut out = io::stdout();
        writeln!(out, "\nready").unwrap();
        loop {
            let Came {
                signal,
                is_of_group,
            } = signals.next().await;
            writeln!(out, "signal {signal} {is_of_group}").unwrap();
            if signal == libc::SIGTERM {
                return;
            }
        }
    });
}

#[test]
fn a_key_of_the_terminal_is_told_from_a_process() {
    if env::var_os(LISTENS).is_some() {
        return listen();
    }
    let this = concat!(
        module_path!(),
        "::a_key_of_the_terminal_is_told_from_a_process"
    );
    let (_, test) = this.split_once("::").unwrap();
    let (mut child, mut terminal) = in_a_terminal(test);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = |wanted: &str| {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with(wanted))
            .expect("it speaks")
    };
    said("ready");
    let pid = i32::try_from(child.id()).unwrap();
    let send = |signal| {
        // SAFETY: no memory is involved; the child is not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    };
    terminal.write_all(b"\x03").unwrap();
    assert_eq!(said("signal"), "signal 2 true", "Ctrl-C");
    send(libc::SIGINT);
    assert_eq!(said("signal"), "signal 2 false", "kill(2)");
    send(libc::SIGTERM);
    assert_eq!(said("signal"), "signal 15 false");
    assert!(child.wait().unwrap().success());
}
