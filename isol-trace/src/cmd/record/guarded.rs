//! A strict command, which runs below the guard ([`crate::guard`]): what ends it when this process dies.

use std::{
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, pidfd_send_signal};
use tokio::{io::Interest, net::UnixStream};

use super::manner::Manner;
use crate::{
    error::Error,
    guard::{FAREWELL, Report, WORD, begin_deaf},
    host::{affinity, cpu_list::CpuSet, descriptors, stack},
    plan::command::CommandPlan,
    symbolize::shared::{channel, protocol::decode},
};

/// How long the guard may take to start the command.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A command that runs below its guard.
#[derive(Debug)]
pub(super) struct Guarded {
    /// The guard's end is the other one. Where it is closed without a farewell, the guard kills.
    socket: UnixStream,
    guard: Child,
    /// The command.
    pid: Pid,
    /// The command, whoever has its number by now.
    process: OwnedFd,
}

impl Guarded {
    /// Starts the guard, and it the command. To be called on the main thread: what that forks is strict.
    pub(super) fn start(
        plan: &CommandPlan,
        watched: &CpuSet,
        manner: Manner,
    ) -> Result<Self, Error> {
        let (socket, theirs) = channel::pair().map_err(Error::Guard)?;
        let guard = guard(plan, watched, manner, theirs).map_err(Error::Guard)?;
        let mut guard = Unfinished(Some(guard));
        let report = report(&socket).map_err(Error::Guard)?;
        match report {
            Some((Report::Started(number), Some(process))) => {
                let pid = Pid::from_raw(number).ok_or_else(ended)?;
                Ok(Self {
                    socket: of_runtime(socket).map_err(Error::Runtime)?,
                    guard: guard.0.take().ok_or_else(ended)?,
                    pid,
                    process,
                })
            }
            Some((Report::Refused(errno), _)) => {
                Err(plan.start_error(io::Error::from_raw_os_error(errno)).into())
            }
            _ => Err(ended()),
        }
    }

    /// The command's number.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the command's end. May be given up and begun again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            self.socket.readable().await?;
            let take = || take(self.socket.as_fd());
            let packet = match self.socket.try_io(Interest::READABLE, take) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                packet => packet?,
            };
            return match packet.map(|packet| decode(&packet)) {
                Some(Ok(Report::Ended(status))) => {
                    // Whatever the command leaves behind is on its own, as without a guard.
                    let _ = channel::send(self.socket.as_fd(), FAREWELL, None);
                    let _ = self.guard.wait();
                    Ok(ExitStatus::from_raw(status))
                }
                // Nobody would end it if this process died now.
                _ => Ok(self.unguarded()),
            };
        }
    }

    /// Ends the command whose guard is no more.
    fn unguarded(&mut self) -> ExitStatus {
        super::say(
            "somebody ended the guard that holds strict mode to its word (isol-guard), so the command was killed",
        );
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        self.signal(libc::SIGKILL);
        ExitStatus::from_raw(libc::SIGKILL)
    }

    /// Sends the command a signal.
    pub(super) fn signal(&self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            // It may have ended.
            let _ = pidfd_send_signal(&self.process, signal);
        }
    }

    /// Has the guard run where this thread may, since these CPUs have changed.
    pub(super) fn follow(&self) {
        let guard = i32::try_from(self.guard.id());
        if let (Ok(guard), Some(cpus)) = (guard, affinity::allowed(0)) {
            // Where that fails it stays on the CPUs that were housekeeping CPUs until now.
            let _ = affinity::pin(guard, &cpus);
        }
    }
}

/// What the guard says first, and the command's process with it. It takes milliseconds; on a machine that is busy, more.
fn report(socket: &OwnedFd) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
    match channel::wait_until(socket.as_fd(), Instant::now() + START_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let silent = format!("it said nothing for {} seconds", START_LIMIT.as_secs());
            return Err(io::Error::new(error.kind(), silent));
        }
        waited => waited?,
    }
    let report = channel::receive(socket.as_fd())?;
    Ok(report.and_then(|(packet, process)| Some((decode(&packet).ok()?, process))))
}

/// The guard, until the command runs. Without a farewell it ends by itself, and is waited for.
struct Unfinished(Option<Child>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.0 {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}

/// The guard ended instead of starting the command.
fn ended() -> Error {
    Error::Guard(io::Error::other("it ended"))
}

/// The socket as the runtime waits for it: for that, packets are like any other bytes.
fn of_runtime(socket: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Takes a packet, if one is there.
fn take(socket: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    match channel::receive_plain(socket, Instant::now()) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        packet => packet,
    }
}

/// Starts the guard. It has all that the command is to have of this process; where it runs is as here, off the watched
/// CPUs.
fn guard(
    plan: &CommandPlan,
    watched: &CpuSet,
    manner: Manner,
    socket: OwnedFd,
) -> io::Result<Child> {
    let number = socket.as_raw_fd();
    // `/proc/self/exe` is what runs, whatever lies at its path now.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(WORD)
        .arg(number.to_string())
        .arg(watched.to_string())
        .arg(plan.program())
        .args(plan.words());
    affinity::restore_huge_pages(&mut command, manner.huge_pages);
    manner.lead_stdout(&mut command);
    descriptors::restore_for(&mut command);
    stack::restore_for(&mut command);
    begin_deaf(&mut command);
    let inherit = move || {
        // SAFETY: no memory is involved; the number is a descriptor as long as this closure lives.
        match unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(inherit) };
    command.spawn()
}
