//! The demonstration: a guest with two isolated CPUs, a noisy neighbour, and the dashboard or the
//! log of what it does to them.

use std::{io, process::ExitCode, thread, time::Duration};

use anyhow::Result;

use crate::{
    build,
    say::say,
    setup::{Lacks, Setup, Toolchain},
    vm::{self, Guest, Host, Output, qemu::Accel},
};

/// How long the log of a demonstration without a terminal is.
const RECORD_SECONDS: u32 = 10;

/// How long such a demonstration may take in all.
const RECORD_LIMIT: Duration = Duration::from_mins(3);

/// What the first build takes of one CPU, measured on a common server's: the BPF linker, and
/// isol-trace with the programs of a guest.
const LINKER_COST: Duration = Duration::from_secs(45);
const PROGRAMS_COST: Duration = Duration::from_secs(210);

/// Processors beyond so many do not make a build faster.
const USEFUL_CPUS: u32 = 8;

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
    say(
        "demo: an emulated machine with two isolated CPUs, a noisy neighbour, and isol-trace there",
    );
    if let Some(announcement) = announcement(setup, &demo.kernel)? {
        say(announcement);
    }
    let (host, kernel) = Host::open_with(setup, &demo.kernel)?;
    say(if terminal {
        "demo: booting, and attaching probes: 5 to 10 s, on a busy machine up to a minute; \
         `q` leaves the dashboard"
            .to_owned()
    } else {
        format!(
            "demo: booting, and attaching probes: 5 to 10 s, on a busy machine up to a minute; \
             then {RECORD_SECONDS} s of log"
        )
    });
    let watch = if terminal {
        "demo-screen isol-trace top".to_owned()
    } else {
        format!("isol-trace record -o - --duration {RECORD_SECONDS}s")
    };
    // The clocksource watchdog is left on: it is the first noise that a real host shows.
    let script = format!("demo-load 1 2 >/dev/null 2>&1 & exec {watch}");
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

/// What the first run has to do here before it shows anything, and how long that takes.
fn announcement(setup: &Setup, kernel: &str) -> Result<Option<String>> {
    let lacks = setup.lacks(kernel);
    let built = build::guest_programs_are_there(&Toolchain::detect()?.host);
    let cpus = thread::available_parallelism()
        .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(USEFUL_CPUS));
    Ok(announce(&lacks, built, cpus))
}

/// The sentence, if there is something to say.
fn announce(lacks: &Lacks, built: bool, cpus: u32) -> Option<String> {
    let mut parts = Vec::new();
    let mut cost = Duration::ZERO;
    if lacks.linker {
        parts.push("builds the BPF linker".to_owned());
        cost += LINKER_COST;
    }
    if !built {
        parts.push("builds isol-trace".to_owned());
        cost += PROGRAMS_COST;
    }
    if !lacks.to_fetch.is_empty() {
        parts.push(format!("fetches {}", lacks.to_fetch.join(", ")));
    }
    if parts.is_empty() {
        return None;
    }
    let what = parts.join(", ");
    let time = cost / cpus.clamp(1, USEFUL_CPUS);
    let time = match time.as_secs() {
        0 => "under a minute, by the network".to_owned(),
        seconds => format!("about {} min", seconds.div_ceil(60)),
    };
    Some(format!(
        "demo: the first time it {what}: {time} on {cpus} free CPUs; afterwards some 10 s"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_run_says_what_it_does_and_for_how_long() {
        let nothing = Lacks::default();
        assert_eq!(announce(&nothing, true, 2), None);
        let all = Lacks {
            to_fetch: vec!["QEMU", "a kernel"],
            linker: true,
        };
        let said = announce(&all, false, 2).unwrap();
        assert!(
            said.contains(
                "builds the BPF linker, builds isol-trace, fetches QEMU, a kernel: about 3 min"
            ),
            "{said}"
        );
        let many = announce(&all, false, 64).unwrap();
        assert!(many.contains("about 1 min on 64 free CPUs"), "{many}");
        let kernel = Lacks {
            to_fetch: vec!["a kernel"],
            linker: false,
        };
        let said = announce(&kernel, true, 2).unwrap();
        assert!(said.contains("under a minute"), "{said}");
    }
}
