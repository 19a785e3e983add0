//! The guard: a process of its own that ends a strict command, and all that it has started, when the tracer dies.
//!
//! The tracer starts it (`cmd::record::guarded`) as its own program with the hidden first word [`WORD`]. It starts the
//! command as its child, gives up what it needs no more, and waits. The end of the socket to the tracer, without a
//! farewell before it, is the tracer's death, however that came: the kernel closes what a process had open.
//!
//! It finds all that the command has started because it is their reaper (`PR_SET_CHILD_SUBREAPER`, prctl(2)): a
//! process whose parent ends becomes the guard's child, whatever session, group or user it has gone to
//! (`find_new_reaper`, kernel/exit.c, v6.12). So none leaves the tree below it, and `children` takes that down from
//! the top.

mod children;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::PathBuf,
    process::{Command, ExitCode},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_child_subreaper,
        set_parent_process_death_signal, setsid,
    },
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};
use serde::{Deserialize, Serialize};

use crate::{
    host::{
        affinity::{HugePages, disable_huge_pages, pin_command},
        cpu_list::CpuSet,
        stack,
    },
    plan::command::CommandPlan,
    symbolize::shared::{channel, protocol::encode},
};

/// The first word of the command line that makes this program a guard. Behind it: the number of the socket's descriptor,
/// the CPUs of the command, its program, and its words.
pub const WORD: &str = "__guard";

/// What the tracer says: that it is done, and what goes on is nobody's.
pub(crate) const FAREWELL: &[u8] = b"farewell";

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The command runs as this process, of which a descriptor comes along.
    Started(i32),
    /// It could not be started, for this reason (errno(3)).
    Refused(i32),
    /// It has ended, with this status as wait(2) has it.
    Ended(i32),
}

/// What the guard is asked to do.
#[derive(Debug)]
struct Order {
    socket: OwnedFd,
    cpus: CpuSet,
    command: CommandPlan,
}

/// Is the guard until the tracer needs it no more.
#[must_use]
pub fn run(words: &[OsString]) -> ExitCode {
    match Order::take(words.get(2..).unwrap_or_default()).and_then(|order| serve(&order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // To who typed that word; the real one has no stderr any more once it could be of use.
            let _ = writeln!(
                io::stderr(),
                "isol-trace: {WORD} is started by isol-trace itself, with a socket: {error}"
            );
            ExitCode::from(2)
        }
    }
}

impl Order {
    /// What the command line asks for.
    fn take(words: &[OsString]) -> io::Result<Self> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidInput);
        let [socket, cpus, program, words @ ..] = words else {
            return Err(malformed());
        };
        let text = |word: &OsString| word.to_str().map(str::to_owned).ok_or_else(malformed);
        let socket = socket_of(text(socket)?.parse().map_err(io::Error::other)?)?;
        let command = CommandPlan::known(PathBuf::from(program), words.to_vec());
        Ok(Self {
            socket,
            cpus: text(cpus)?.parse().map_err(io::Error::other)?,
            command: command.ok_or_else(malformed)?,
        })
    }
}

/// The socket that was inherited. The command does not inherit it from here.
fn socket_of(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved, and a number that is no descriptor is an error.
    let flags = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if number <= 2 || flags < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is open, and nothing in this process owns a descriptor from 3 on: it has just begun.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::net::sockopt::socket_type(&socket)?;
    Ok(socket)
}

fn serve(order: &Order) -> io::Result<()> {
    let socket = order.socket.as_fd();
    // It started with the setting that the command is to have. khugepaged would interrupt every CPU that it ran on.
    let huge_pages = disable_huge_pages().map_err(io::Error::other)?;
    // What `ps` shows; else it would be the name of a link in `/proc`.
    rustix::thread::set_name(c"isol-guard")?;
    block_signals()?;
    set_child_subreaper(Some(getpid()))?;
    let command = match start(&order.command, &order.cpus, huge_pages) {
        Ok(command) => command,
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            return say(socket, Report::Refused(errno), None);
        }
    };
    let watched = watch(socket, command);
    if watched.is_err() {
        // Whatever keeps it from watching must not leave the command unwatched.
        children::end_all();
    }
    watched
}

/// Starts the command.
fn start(plan: &CommandPlan, cpus: &CpuSet, huge_pages: HugePages) -> io::Result<Pid> {
    let mut command = plan.command();
    let execution = plan.execution().map_err(io::Error::other)?;
    pin_command(&mut command, cpus, huge_pages);
    die_with_us(&mut command);
    unblock_signals(&mut command);
    stack::restore_for(&mut command);
    execution.instead_of_searching(&mut command);
    let child = command.spawn()?;
    // It is waited for with the others, by its number.
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Has the kernel kill the command when the guard's only thread ends (`PR_SET_PDEATHSIG`, prctl(2)), for whoever kills
/// the guard. The kernel takes that back where the command executes a program with more rights (set-user-id, file
/// capabilities) or changes its user (`begin_new_exec`, fs/exec.c, and `commit_creds`, kernel/cred.c, v6.12), and it is not
/// inherited.
fn die_with_us(command: &mut Command) {
    let us = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // Whoever had died before has told nobody.
        if getppid() == Some(us) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

/// Waits for the end of the command, of the tracer, or for its farewell.
fn watch(socket: BorrowedFd<'_>, command: Pid) -> io::Result<()> {
    // While it is not waited for, the number is its own.
    let descriptor = pidfd_open(command, PidfdFlags::empty())?;
    let ends = ends_of_children()?;
    leave(&[socket.as_raw_fd(), ends.as_raw_fd(), descriptor.as_raw_fd()])?;
    // The tracer's death shows below, not here.
    let started = Report::Started(command.as_raw_nonzero().get());
    let _ = say(socket, started, Some(descriptor.as_fd()));
    drop(descriptor);
    loop {
        forget(&ends);
        while let children::Reaped::Ended(pid, status) = children::reap() {
            if pid == command {
                let _ = say(socket, Report::Ended(status), None);
            }
        }
        let mut wait = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(ends.as_fd(), PollFlags::IN),
        ];
        match poll(&mut wait, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [of_tracer, _] = &wait;
        if of_tracer.revents().is_empty() {
            continue;
        }
        match channel::receive(socket) {
            Ok(Some((word, _))) if word == FAREWELL => {}
            Ok(_) | Err(_) => children::end_all(),
        }
        return Ok(());
    }
}

fn say(
    socket: BorrowedFd<'_>,
    report: Report,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let packet = encode(&report).ok_or(io::ErrorKind::InvalidData)?;
    channel::send(socket, &packet, descriptor)
}

/// All signals, as a set.
fn all_signals() -> libc::sigset_t {
    // SAFETY: a set of signals is plain numbers, for which zeros are valid.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: it writes the set, which is ours and outlives the call.
    unsafe { libc::sigfillset(&raw mut all) };
    all
}

/// Keeps all signals from this process that can be kept from it, and has ends of children wait for it: who ignores
/// them (`SIG_IGN`, which is inherited) has no status of any.
fn block_signals() -> io::Result<()> {
    // SAFETY: no handler of ours is set, and the default one is always valid.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    set_mask(&all_signals())
}

/// Gives a command all signals: it would inherit ours.
fn unblock_signals(command: &mut Command) {
    let unblock = || {
        // SAFETY: a set of signals is plain numbers, for which zeros are valid; on Linux they are the empty set.
        let none: libc::sigset_t = unsafe { std::mem::zeroed() };
        set_mask(&none)
    };
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(unblock) };
}

fn set_mask(mask: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the kernel reads the set, which outlives the call, and writes none.
    let result = unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has a command start with all signals blocked.
pub(crate) fn begin_deaf(command: &mut Command) {
    let all = all_signals();
    let block = move || set_mask(&all);
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(block) };
}

/// A descriptor that is readable when a child has ended.
fn ends_of_children() -> io::Result<OwnedFd> {
    // SAFETY: a set of signals is plain numbers, for which zeros are valid; on Linux they are the empty set.
    let mut ends: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: it changes the set, which is ours and outlives the call.
    unsafe { libc::sigaddset(&raw mut ends, libc::SIGCHLD) };
    // SAFETY: the kernel reads the set, which outlives the call.
    let number =
        unsafe { libc::signalfd(-1, &raw const ends, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes the signals that have come: children are looked at in any case.
fn forget(ends: &OwnedFd) {
    let mut room = [0; size_of::<libc::signalfd_siginfo>()];
    while rustix::io::read(ends, &mut room).is_ok_and(|bytes| bytes > 0) {}
}

/// Leaves the terminal, the current folder, all descriptors but `kept`, and all rights but that to kill.
///
/// In a session of its own it is not in CMD's process group: neither keys of the terminal nor the shell's signals to that
/// group (`kill -9 %1`) come here. And the group stays an orphaned one where it was: a parent in another session does
/// not count (`will_become_orphaned_pgrp`, kernel/exit.c, v6.12), so Ctrl-Z does what it does without a guard.
fn leave(kept: &[RawFd]) -> io::Result<()> {
    setsid()?;
    // Whoever is out of memory ends others first. Where that may not be said, it is small all the same.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    std::env::set_current_dir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    drop(null);
    close_all_but(kept)?;
    let all = capabilities(None)?;
    let kill = all.permitted & CapabilitySet::KILL;
    let sets = CapabilitySets {
        effective: kill,
        permitted: kill,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Closes all descriptors from 3 on but these.
fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<_> = kept
        .iter()
        .filter_map(|number| u32::try_from(*number).ok())
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for last in kept
        .iter()
        .map(|number| number.checked_sub(1))
        .chain([Some(u32::MAX)])
    {
        let Some(last) = last else { continue };
        if first <= last {
            // SAFETY: no memory is involved. What this process still uses of its descriptors is kept.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = last.saturating_add(2);
    }
    Ok(())
}
