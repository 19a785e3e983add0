//! The ground truth in one guest: booted with the tests that are wanted, and judged.

use std::time::{Duration, Instant};

use anyhow::Result;
use isol_trace_guest::truth::{plan::Part, remedies::DISK_ON};

use super::{
    Selection, golden,
    results::{self, Results},
    times::Times,
};
use crate::{
    phases::Phases,
    say::{Lines, say},
    setup::{KernelImage, Setup},
    tally::Verdict,
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

/// What a guest of a kernel line runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'line> {
    /// The line.
    pub(super) line: &'line str,
    /// Which tests.
    pub(super) part: Part,
}

impl Job<'_> {
    /// What its verdicts and lines begin with.
    pub(super) fn name(self) -> String {
        match self.part {
            Part::Alone | Part::All => self.line.to_owned(),
            Part::Beside => format!("{} beside", self.line),
        }
    }
}

/// Boots a guest of a kernel line and judges it: its tests, or again those that failed.
pub(super) fn boot(
    setup: &Setup,
    host: &Host,
    job: Job<'_>,
    selection: &Selection,
    failed: &[String],
    times: &mut Times,
) -> Result<Verdicts> {
    let (line, name) = (job.line, job.name());
    let kernel = match setup.kernel(line) {
        Ok(kernel) => kernel,
        Err(error) => return Ok(vec![("run".into(), Verdict::Fail(format!("{error:#}")))]),
    };
    say(format!(
        "test: the ground truth on {name} ({})",
        kernel.package.as_deref().unwrap_or("a kernel of yours")
    ));
    let started = Instant::now();
    let arguments = match by_name(failed) {
        Some(names) => ["run"].into_iter().chain(names).collect(),
        None => vec![job.part.name()],
    };
    let outcome = truth(host, &name, kernel, &arguments, selection.accel, times)?;
    let verdicts = judge(job, &outcome, selection)?;
    say(format!(
        "test: {name}: {} tests, {} failed, in {} s",
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
    times: &mut Times,
) -> Result<Verdicts> {
    let arguments: Vec<_> = ["run"].iter().chain(tests).copied().collect();
    let outcome = truth(host, name, kernel, &arguments, Accel::default(), times)?;
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
    times: &mut Times,
) -> Result<Outcome> {
    let command = [TRUTH].iter().chain(arguments);
    let guest = Guest {
        disk: kernel.name == DISK_ON,
        append: format!("{QUIET} {OPEN_DEVICES}"),
        limit: GUEST_LIMIT,
        accel,
        ..Guest::new(kernel, command.map(ToString::to_string).collect())
    };
    let mut phases = Phases::begin();
    let mut output = Output {
        stdout: &mut Lines::of(name),
        stderr: &mut Lines::of(name),
        result: &mut |result| {
            if let Some(test) = results::test_of(result) {
                phases.end(&format!("{name} {test}"));
            }
            say(format!("{name}: {result}"));
        },
    };
    let outcome = host.run(&guest, &mut output)?;
    for (test, time) in phases.parts() {
        times.test(test, *time);
    }
    Ok(outcome)
}

/// What a guest said, and what it should have said.
fn judge(job: Job<'_>, outcome: &Outcome, selection: &Selection) -> Result<Verdicts> {
    let results = Results::read(outcome.results.iter().map(String::as_str));
    let whole = whole(outcome, &results, verdicts::failed(&results.tests) > 0);
    if outcome.repeated {
        say(format!(
            "test: {} was run twice: the first time the emulator failed",
            job.name()
        ));
    }
    let mut verdicts = results.tests;
    verdicts.push(("run".into(), whole));
    if job.part != Part::Beside {
        // The table of the line's probes is compared once.
        let probes = match &results.probes {
            Some(probes) => golden::check(job.line, probes, selection.bless)?,
            None => Verdict::Fail("the guest named no probes".into()),
        };
        verdicts.push(("probes".into(), probes));
    }
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
