//! The ground truth in a guest: what runs there, what it says, and how long it took.

mod results;
mod times;

use std::time::Duration;

use anyhow::Result;
use isol_trace_guest::truth::remedies::DISK_ON;

pub(crate) use self::{
    results::{Probe, Results},
    times::Times,
};
use crate::{
    phases::Phases,
    say::{Lines, say},
    setup::KernelImage,
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

/// Runs some tests of the ground truth on a kernel that is no line of its own.
pub(crate) fn some(
    host: &Host,
    name: &str,
    kernel: KernelImage,
    tests: &[&str],
    times: &mut Times,
) -> Result<Verdicts> {
    let arguments: Vec<_> = ["run"].iter().chain(tests).copied().collect();
    let outcome = run(host, name, kernel, &arguments, Accel::default(), times)?;
    let results = Results::read(outcome.results.iter().map(String::as_str));
    let whole = whole(&outcome, &results, verdicts::failed(&results.tests) > 0);
    let mut verdicts = results.tests;
    verdicts.push(("truth/run".into(), whole));
    Ok(verdicts)
}

/// Runs the ground truth in a guest.
pub(crate) fn run(
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

/// Whether the run itself was whole: no fault, every line there, a status that fits.
pub(crate) fn whole(outcome: &Outcome, results: &Results, failed: bool) -> Verdict {
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
