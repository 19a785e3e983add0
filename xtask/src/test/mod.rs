//! Every test: on this machine, the ground truth in a guest of every kernel line, and the selftests
//! of the task-isolation series in a guest of each of its kernels.

mod golden;
mod host;
mod reboot;
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
    phases::Phases,
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

/// How many tests are named that took longest.
const LONGEST: usize = 12;

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
    let mut phases = Phases::begin();
    let tools = setup.build_tools()?;
    if !selection.guests_only {
        tally.merge(host::run(&tools)?);
        phases.end("this machine's tests");
    }
    if selection.fast {
        say("test: the guests are left out (--fast)");
        return Ok(tally);
    }
    let lines = selection.lines();
    let fetch = || {
        // One that cannot be had fails when its turn comes, and says why.
        let _ = lines
            .iter()
            .try_for_each(|line| setup.kernel(line).map(drop));
        Ok(())
    };
    match Host::open_beside(setup, fetch).map(|(host, ())| host) {
        Ok(host) => {
            phases.end("the guests' programs");
            for line in &lines {
                tally.merge(line_tally(setup, &host, line, selection)?);
                phases.end(line);
            }
            if let Some(kernels) = kernels {
                let Ok(built) = kernels.join() else {
                    bail!("building the kernels of the series panicked");
                };
                phases.end("waiting for the first kernel of the series");
                tally.merge(kernel::tally(setup, &host, built, began)?);
                phases.end("the kernels of the series");
            }
        }
        Err(error) => tally.add("guests", &Verdict::Fail(format!("{error:#}"))),
    }
    say(format!("test: {phases}"));
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
    let mut tally =
        verdicts::of_two_runs(line, |failed| boot(setup, host, line, selection, failed))?;
    if reboot::belongs(line) {
        say(format!("test: what the doctor prints, on {line}"));
        tally.merge(verdicts::of_two_runs(line, |_| {
            Ok(reboot::run(setup, host, line, selection.accel))
        })?);
    }
    Ok(tally)
}

/// The names of tests that failed, as the ground truth takes them. None where there are none, or
/// where one of them is no single test but what a whole run shows.
pub(crate) fn by_name(failed: &[String]) -> Option<Vec<&str>> {
    let names: Option<Vec<&str>> = failed.iter().map(|test| single(test)).collect();
    names.filter(|names| !names.is_empty())
}

/// The name of a single test that a verdict is of.
fn single(test: &str) -> Option<&str> {
    let name = test.strip_prefix(TRUTH)?.strip_prefix('/')?;
    (!["run", "probes"].contains(&name) && !name.contains('/')).then_some(name)
}

/// Boots one kernel line and judges it: every test, or again those that failed.
fn boot(
    setup: &Setup,
    host: &Host,
    line: &str,
    selection: &Selection,
    failed: &[String],
) -> Result<Verdicts> {
    let kernel = match setup.kernel(line) {
        Ok(kernel) => kernel,
        Err(error) => return Ok(vec![("run".into(), Verdict::Fail(format!("{error:#}")))]),
    };
    say(format!(
        "test: the ground truth on {line} ({})",
        kernel.package.as_deref().unwrap_or("a kernel of yours")
    ));
    let started = Instant::now();
    let arguments = match by_name(failed) {
        Some(names) => ["run"].into_iter().chain(names).collect(),
        None => vec!["all"],
    };
    let outcome = truth(host, line, kernel, &arguments, selection.accel)?;
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
    let mut phases = Phases::begin();
    let mut output = Output {
        stdout: &mut io::stderr(),
        stderr: &mut io::stderr(),
        result: &mut |result| {
            if let Some(test) = results::test_of(result) {
                phases.end(&test);
            }
            say(format!("{name}: {result}"));
        },
    };
    let outcome = host.run(&guest, &mut output)?;
    say(format!(
        "test: {name}: longest: {}",
        phases.longest(LONGEST)
    ));
    Ok(outcome)
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
    fn tests_that_failed_are_run_again_alone() {
        let names = |of: &[&str]| -> Option<Vec<String>> {
            let failed: Vec<_> = of.iter().map(ToString::to_string).collect();
            let names = by_name(&failed)?;
            Some(names.into_iter().map(str::to_owned).collect())
        };
        assert_eq!(
            names(&["truth/syscall", "truth/quiet_control"]),
            Some(vec!["syscall".to_owned(), "quiet_control".to_owned()])
        );
        for whole in [
            "run",
            "probes",
            "truth/run",
            "truth/probes",
            "truth/probe/csd_queue_cpu",
        ] {
            assert_eq!(names(&["truth/syscall", whole]), None, "{whole}");
        }
        assert_eq!(names(&[]), None);
    }

    #[test]
    fn a_fault_shows_the_consoles_tail() {
        let Verdict::Fail(why) = verdict(Err(Fault::Ended(String::new())), &ONE, false) else {
            panic!("a fault is a failure");
        };
        assert!(why.contains("last words"), "{why}");
    }
}
