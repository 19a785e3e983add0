//! The children of this process, and how all of them come to their end.
//!
//! Only children are killed, by their numbers: a number is its child's until this process has waited for it, so that nobody
//! else is ever hit. A child's children become this process's own when it ends.

use std::{
    fs,
    io::{self, Read as _},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

/// One more than the highest number of a process (`PID_MAX_LIMIT`, include/linux/threads.h, v6.12).
const NUMBERS: i32 = 4 << 20;

/// How long to wait for killed children between two looks.
const SHORTEST: Duration = Duration::from_millis(1);
/// The same, where they do not end: the kernel holds on to them, or they are not ours to kill.
const LONGEST: Duration = Duration::from_secs(1);

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaped {
    /// It has ended, with this status as wait(2) has it.
    Ended(Pid, i32),
    /// There are some, and none has ended.
    None,
    /// There are none.
    Childless,
}

/// Takes the status of a child that has ended.
pub(super) fn reap() -> Reaped {
    let mut status = 0;
    // SAFETY: the kernel writes the status, which is ours and outlives the call.
    let number = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    match Pid::from_raw(number.max(0)) {
        Some(pid) => Reaped::Ended(pid, status),
        None if number == 0 => Reaped::None,
        None => Reaped::Childless,
    }
}

/// Kills all children, those that they leave behind, and so on until there are none.
///
/// Who has a SIGKILL starts nothing any more (`copy_process` looks for it last of all, kernel/fork.c, v6.12), so each
/// round leaves only what was started before it.
pub(super) fn end_all() {
    let mut pause = SHORTEST;
    loop {
        kill_each();
        loop {
            match reap() {
                Reaped::Ended(..) => pause = SHORTEST,
                Reaped::None => break,
                Reaped::Childless => return,
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST);
    }
}

/// Kills all children that there are now.
fn kill_each() {
    let mut found = false;
    for pid in listed().into_iter().filter(|pid| is_child(*pid)) {
        found = true;
        let _not_ours = kill_process(pid, Signal::KILL);
    }
    if !found {
        // No list, or one of another PID namespace.
        // Numbers are given out upwards, so most children's are above ours.
        let own = getpid().as_raw_nonzero().get();
        let all = (own..NUMBERS).chain(1..own).filter_map(Pid::from_raw);
        for pid in all.filter(|pid| is_child(*pid)) {
            let _not_ours = kill_process(pid, Signal::KILL);
        }
    }
}

/// The children that the kernel lists, as the proc file system counts processes. It may leave some out while others end
/// (proc(5)), and is not there without `CONFIG_PROC_CHILDREN`.
fn listed() -> Vec<Pid> {
    let mut text = String::new();
    let read = |text: &mut String| -> io::Result<usize> {
        fs::File::open("/proc/thread-self/children")?.read_to_string(text)
    };
    if read(&mut text).is_err() {
        return Vec::new();
    }
    parse(&text)
}

fn parse(text: &str) -> Vec<Pid> {
    let numbers = text.split_ascii_whitespace();
    numbers
        .filter_map(|number| number.parse().ok().and_then(Pid::from_raw))
        .collect()
}

/// Whether a number is that of a child of this process, running or not.
fn is_child(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), look).is_ok()
}
