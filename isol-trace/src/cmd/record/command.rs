//! The command that is started on the watched CPUs, until its end.

use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use rustix::process::Pid;
use tokio::process::Child;

use super::{guarded::Guarded, manner::Manner};
use crate::{
    error::Error,
    event::ids,
    host::{affinity::pin_command, cpu_list::CpuSet, descriptors, stack},
    plan::command::CommandPlan,
};

/// A command that runs.
#[derive(Debug)]
pub(super) enum Running {
    /// As a child of this process.
    Child(Child),
    /// Below a guard, with which it ends if this process dies.
    Guarded(Guarded),
}

/// Starts it.
pub(super) fn start(
    plan: &CommandPlan,
    watched: &CpuSet,
    manner: Manner,
) -> Result<Running, Error> {
    if manner.is_strict {
        return Guarded::start(plan, watched, manner).map(Running::Guarded);
    }
    let mut command = plan.command();
    let execute = plan.execution()?;
    pin_command(&mut command, watched, manner.huge_pages);
    manner.lead_stdout(&mut command);
    descriptors::restore_for(&mut command);
    stack::restore_for(&mut command);
    execute.instead_of_searching(&mut command);
    let mut command = tokio::process::Command::from(command);
    // Whatever fails before it is waited for, it does not outlive the trace.
    command.kill_on_drop(true);
    let child = command.spawn().map_err(|source| plan.start_error(source))?;
    Ok(Running::Child(child))
}

impl Running {
    /// Its process, as records have it; `None` once it was waited for.
    pub(super) fn number(&self) -> Option<ids::Pid> {
        let pid = self.pid()?.as_raw_nonzero().get();
        Some(ids::Pid(pid.unsigned_abs()))
    }

    fn pid(&self) -> Option<Pid> {
        match self {
            Self::Child(child) => {
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                pid.and_then(Pid::from_raw)
            }
            Self::Guarded(guarded) => Some(guarded.pid()),
        }
    }

    /// Waits for its end. May be given up and begun again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Child(child) => child.wait().await,
            Self::Guarded(guarded) => guarded.wait().await,
        }
    }

    /// Whether it has stayed in this process's group.
    pub(super) fn is_in_our_group(&self) -> bool {
        // It is 0 where init began no group, or the leader is in another PID namespace: no number for rustix.
        // SAFETY: no memory is involved.
        let group = |pid: libc::pid_t| unsafe { libc::getpgid(pid) };
        self.pid()
            .is_some_and(|pid| group(pid.as_raw_nonzero().get()) == group(0))
    }

    /// Hands a signal on to it; its end then ends the trace.
    pub(super) fn forward(&self, signal: i32) {
        match self {
            Self::Child(_) => {
                let Some(pid) = self.pid() else { return };
                // SAFETY: no memory is involved; the child is ours and not yet waited for, so the number is its own.
                unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) };
            }
            Self::Guarded(guarded) => guarded.signal(signal),
        }
    }

    /// The CPUs on which this process may run have changed.
    pub(super) fn follow(&self) {
        if let Self::Guarded(guarded) = self {
            guarded.follow();
        }
    }
}

/// The command's own status, or 128 and its signal.
pub(super) fn passed_on(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}
