//! Every test: on this machine, the ground truth in a guest of every kernel line, and the selftests
//! of the task-isolation series in a guest of each of its kernels.

mod golden;
mod host;
mod results;

use std::{
    io,
    process::ExitCode,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use self::results::Results;
use crate::{
    kernel::{self, Kernel},
    say::say,
    setup::{KernelImage, LINES, Setup},
    tally::{Tally, Verdict},
    verdicts::{self, Verdicts},
    vm::{
        Guest, Host, Outcome, Output,
        qemu::{Accel, QUIET},
    },
};

/// What runs the ground truth in a guest.
const TRUTH: &str = "truth";

/// What lets a guest's process map the local APIC and send a vector by hand: on 6.1 its pages are
/// busy to `/dev/mem` otherwise (`iomem_is_exclusive`, kernel/resource.c).
const OPEN_DEVICES: &str = "iomem=relaxed";

/// How long one guest may take, on a machine that does much else.
const GUEST_LIMIT: Duration = Duration::from_mins(20);

/// What to test.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Leave the guests out.
    pub(crate) fast: bool,
    /// Only these kernel lines; all, and the kernels of the series, if none is named.
    pub(crate) kernels: Vec<String>,
    /// Leave this machine's tests out.
    pub(crate) guests_only: bool,
    /// Write the tables of probe verdicts instead of comparing.
    pub(crate) bless: bool,
    /// What runs the guests.
    pub(crate) accel: Accel,
}

/// Runs the tests and prints the closing line.
pub(crate) fn run(setup: &Setup, selection: &Selection) -> Result<ExitCode> {
    // Who names lines means those alone; `cargo xtask kernel test` is for the kernels of the series.
    if selection.fast || !selection.kernels.is_empty() {
        return Ok(run_with(setup, selection, None)?.close());
    }
    let tally = thread::scope(|scope| {
        // Building takes longer than anything else, and guests leave some of a machine alone.
        let kernels = scope.spawn(|| kernel::build_idly(setup));
        run_with(setup, selection, Some(kernels))
    });
    Ok(tally?.close())
}

/// Runs them, those on the kernels of the series when these are built.
fn run_with(
    setup: &Setup,
    selection: &Selection,
    kernels: Option<ScopedJoinHandle<'_, Vec<Kernel>>>,
) -> Result<Tally> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let tools = setup.build_tools()?;
    if !selection.guests_only {
        tally.merge(host::run(&tools)?);
    }
    if selection.fast {
        say("test: the guests are left out (--fast)");
        return Ok(tally);
    }
    match Host::open(setup) {
        Ok(host) => {
            for line in selection.lines() {
                tally.merge(line_tally(setup, &host, &line, selection)?);
            }
            if let Some(kernels) = kernels {
                let Ok(built) = kernels.join() else {
                    bail!("building the kernels of the series panicked");
                };
                tally.merge(kernel::tally(setup, &host, built, began)?);
            }
        }
        Err(error) => tally.add("guests", &Verdict::Fail(format!("{error:#}"))),
    }
    Ok(tally)
}

impl Selection {
    fn lines(&self) -> Vec<String> {
        if self.kernels.is_empty() {
            LINES.iter().map(|line| line.name.to_owned()).collect()
        } else {
            self.kernels.clone()
        }
    }
}

/// One kernel line.
fn line_tally(setup: &Setup, host: &Host, line: &str, selection: &Selection) -> Result<Tally> {
    verdicts::of_two_runs(line, || boot(setup, host, line, selection))
}

/// Boots one kernel line and judges it.
fn boot(setup: &Setup, host: &Host, line: &str, selection: &Selection) -> Result<Verdicts> {
    let kernel = match setup.kernel(line) {
        Ok(kernel) => kernel,
        Err(error) => return Ok(vec![("run".into(), Verdict::Fail(format!("{error:#}")))]),
    };
    say(format!(
        "test: the ground truth on {line} ({})",
        kernel.package.as_deref().unwrap_or("a kernel of yours")
    ));
    let started = Instant::now();
    let outcome = truth(host, line, kernel, &["all"], selection.accel)?;
    let verdicts = judge(line, &outcome, selection)?;
    say(format!(
        "test: {line}: {} tests, {} failed, in {} s",
        verdicts.len(),
        verdicts::failed(&verdicts),
        started.elapsed().as_secs()
    ));
    Ok(verdicts)
}

/// Runs some tests of the ground truth on a kernel that is no line of its own.
pub(crate) fn some(
    host: &Host,
    name: &str,
    kernel: KernelImage,
    tests: &[&str],
) -> Result<Verdicts> {
    let arguments: Vec<_> = ["run"].iter().chain(tests).copied().collect();
    let outcome = truth(host, name, kernel, &arguments, Accel::default())?;
    let results = Results::read(outcome.results.iter().map(String::as_str));
    let whole = whole(&outcome, &results, verdicts::failed(&results.tests) > 0);
    let mut verdicts = results.tests;
    verdicts.push(("truth/run".into(), whole));
    Ok(verdicts)
}

/// Runs the ground truth in a guest.
fn truth(
    host: &Host,
    name: &str,
    kernel: KernelImage,
    arguments: &[&str],
    accel: Accel,
) -> Result<Outcome> {
    let command = [TRUTH].iter().chain(arguments);
    let guest = Guest {
        append: format!("{QUIET} {OPEN_DEVICES}"),
        limit: GUEST_LIMIT,
        accel,
        ..Guest::new(kernel, command.map(ToString::to_string).collect())
    };
    let mut output = Output {
        stdout: &mut io::stderr(),
        stderr: &mut io::stderr(),
        result: &mut |result| say(format!("{name}: {result}")),
    };
    host.run(&guest, &mut output)
}

/// What a guest said, and what it should have said.
fn judge(line: &str, outcome: &Outcome, selection: &Selection) -> Result<Verdicts> {
    let results = Results::read(outcome.results.iter().map(String::as_str));
    let whole = whole(outcome, &results, verdicts::failed(&results.tests) > 0);
    let probes = match &results.probes {
        Some(probes) => golden::check(line, probes, selection.bless)?,
        None => Verdict::Fail("the guest named no probes".into()),
    };
    if outcome.repeated {
        say(format!(
            "test: {line} was run twice: the first time the emulator failed"
        ));
    }
    let mut verdicts = results.tests;
    verdicts.extend([("run".into(), whole), ("probes".into(), probes)]);
    Ok(verdicts)
}

/// Whether the run itself was whole: no fault, every line there, a status that fits.
fn whole(outcome: &Outcome, results: &Results, failed: bool) -> Verdict {
    if let Some(failure) = outcome.failure() {
        return Verdict::Fail(failure);
    }
    if !results.problems.is_empty() {
        return Verdict::Fail(results.problems.join("; "));
    }
    match outcome.end {
        Ok(status) if (status == 0) == failed => {
            Verdict::Fail(format!("status {status} does not fit the verdicts"))
        }
        _ => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Fault;

    fn outcome(end: Result<u8, Fault>, lines: &[&str]) -> Outcome {
        Outcome {
            end,
            results: lines.iter().map(ToString::to_string).collect(),
            console: "last words\n".into(),
            repeated: false,
        }
    }

    fn verdict(end: Result<u8, Fault>, lines: &[&str], failed: bool) -> Verdict {
        let outcome = outcome(end, lines);
        let results = Results::read(lines.iter().copied());
        whole(&outcome, &results, failed)
    }

    const ONE: [&str; 2] = [r#"{"test":"a","verdict":"pass"}"#, r#"{"done":1}"#];

    #[test]
    fn a_whole_run_passes() {
        assert_eq!(verdict(Ok(0), &ONE, false), Verdict::Pass);
        assert_eq!(verdict(Ok(1), &ONE, true), Verdict::Pass);
    }

    #[test]
    fn a_run_that_is_not_whole_fails() {
        let fails = |end, lines: &[&str], failed| {
            assert!(
                matches!(verdict(end, lines, failed), Verdict::Fail(_)),
                "{lines:?}"
            );
        };
        fails(Ok(0), &ONE[..1], false);
        fails(Ok(2), &ONE, false);
        fails(Ok(0), &ONE, true);
        fails(Err(Fault::Ended(String::new())), &ONE, false);
    }

    #[test]
    fn a_fault_shows_the_consoles_tail() {
        let Verdict::Fail(why) = verdict(Err(Fault::Ended(String::new())), &ONE, false) else {
            panic!("a fault is a failure");
        };
        assert!(why.contains("last words"), "{why}");
    }
}
