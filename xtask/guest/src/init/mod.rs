//! PID 1 of the test guest: mounts, runs the plan's command, reports, powers off.
//!
//! It is never to return: the kernel panics when PID 1 ends.

mod channel;
mod command;
mod mounts;

use std::{
    fs,
    io::{self, Write as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::{Mode, OFlags},
    system::{self, RebootCommand},
};

use self::channel::Channel;
use crate::boot::{ALIVE_SECONDS, INIT_FAILED, PLAN, Plan, Report, Stage};

/// Does everything; an error is said on the console.
pub fn main() {
    if let Err(error) = run() {
        // Nobody can be told if the console fails too.
        let _ = writeln!(io::stderr(), "{INIT_FAILED} {error:#}");
    }
    rustix::fs::sync();
    loop {
        // Errors cannot be handled here: without power the loop is all there is.
        let _ = system::reboot(RebootCommand::PowerOff);
        thread::sleep(Duration::from_secs(1));
    }
}

/// From an empty root to the host's goodbye.
fn run() -> Result<()> {
    mounts::mount_all()?;
    // A name is a courtesy to whoever reads the logs.
    let _ = system::sethostname(b"isol-trace-guest");
    let plan = fs::read(PLAN).with_context(|| format!("no plan at {PLAN}"))?;
    let plan: Plan = serde_json::from_slice(&plan).context("the plan cannot be read")?;
    for module in &plan.modules {
        load(module).with_context(|| format!("cannot load the module {module}"))?;
    }
    let channel = Channel::open()?;
    channel.report(Report::Init { init: Stage::Up })?;
    let alive = channel.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(ALIVE_SECONDS));
            if alive.report(Report::Init { init: Stage::Alive }).is_err() {
                return;
            }
        }
    });
    let report = command::run(&plan, &channel)?;
    channel.report(report)?;
    channel.wait_for_goodbye()
}

/// Loads one module from its file.
fn load(path: &str) -> Result<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    system::finit_module(&file, c"", 0)?;
    Ok(())
}
