//! The command that is started on the watched CPUs, until its end.

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{self, ExitStatus},
};

use tokio::process::Child;

use crate::{
    error::Error,
    host::{
        affinity::{HugePages, pin_command},
        cpu_list::CpuSet,
        descriptors,
    },
    plan::command::CommandPlan,
};

/// Starts it. `dies_with_us`: it is killed when this process ends, however that comes.
pub(super) fn start(
    plan: &CommandPlan,
    watched: &CpuSet,
    huge_pages: HugePages,
    dies_with_us: bool,
) -> Result<Child, Error> {
    let mut command = plan.command();
    let execute = plan.execution()?;
    pin_command(&mut command, watched, huge_pages);
    descriptors::restore_for(&mut command);
    if dies_with_us {
        die_with_us(&mut command);
    }
    execute.instead_of_searching(&mut command);
    let mut command = tokio::process::Command::from(command);
    // Whatever fails before it is waited for, it does not outlive the trace.
    command.kill_on_drop(true);
    Ok(command.spawn().map_err(|source| plan.start_error(source))?)
}

/// Has the kernel kill a command when the thread that starts it ends (`PR_SET_PDEATHSIG`, prctl(2)): call from the main
/// thread, which ends with the process. The kernel takes that back where the command executes a program with
/// more rights (set-user-id, file capabilities) or changes its user (`begin_new_exec`, fs/exec.c, and `commit_creds`,
/// kernel/cred.c, v6.12), and it is not inherited.
fn die_with_us(command: &mut process::Command) {
    let us = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // Whoever had died before has told nobody.
        if rustix::process::getppid() == Some(us) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

/// Whether the command has stayed in this process's group.
pub(super) fn is_in_our_group(child: &Child) -> bool {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let group = |pid| rustix::process::getpgid(pid).ok();
    pid.and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| group(Some(pid)) == group(None))
}

/// Hands a signal on to the command, whose end then ends the trace.
pub(super) fn forward(child: &Child, signal: i32) {
    let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) else {
        return;
    };
    // SAFETY: no memory is involved; the child is ours and not yet waited for, so the number is its own.
    unsafe { libc::kill(pid, signal) };
}

/// The command's own status, or 128 and its signal.
pub(super) fn passed_on(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}
