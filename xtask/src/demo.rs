//! The demonstration: a guest with two isolated CPUs, a noisy neighbour, and the dashboard or the
//! log of what it does to them.

use std::{io, process::ExitCode, time::Duration};

use anyhow::Result;

use crate::{
    say::say,
    setup::Setup,
    vm::{self, Guest, Host, Output, qemu::Accel},
};

/// How long the log of a demonstration without a terminal is.
const RECORD_SECONDS: u32 = 10;

/// How long such a demonstration may take in all.
const RECORD_LIMIT: Duration = Duration::from_mins(3);

/// What to show, and where.
#[derive(Clone, Debug)]
pub(crate) struct Demo {
    /// Print the log instead of the dashboard.
    pub(crate) record: bool,
    /// A kernel line or path.
    pub(crate) kernel: String,
    /// What runs the guest.
    pub(crate) accel: Accel,
}

/// Shows it.
pub(crate) fn run(setup: &Setup, demo: &Demo) -> Result<ExitCode> {
    let terminal = !demo.record && vm::terminal_present();
    if !terminal && !demo.record {
        say("demo: no terminal here, so the log is printed (as with --record)");
    }
    let kernel = setup.kernel(&demo.kernel)?;
    let host = Host::open(setup)?;
    say(if terminal {
        "demo: booting a guest with CPUs 1 and 2 isolated; `q` leaves the dashboard".to_owned()
    } else {
        format!("demo: booting a guest with CPUs 1 and 2 isolated; {RECORD_SECONDS} s of log")
    });
    let watch = if terminal {
        "top".to_owned()
    } else {
        format!("record --duration {RECORD_SECONDS}s")
    };
    // The clocksource watchdog is left on: it is the first noise that a real host shows.
    let script = format!("demo-load 1 2 >/dev/null 2>&1 & exec isol-trace {watch}");
    let guest = Guest {
        terminal,
        limit: RECORD_LIMIT,
        accel: demo.accel,
        ..Guest::new(kernel, ["sh", "-c", &script].map(str::to_owned).to_vec())
    };
    let mut output = Output {
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
        result: &mut |_| {},
    };
    let outcome = host.run(&guest, &mut output)?;
    Ok(outcome.exit_code("demo"))
}
