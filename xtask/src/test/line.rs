//! The ground truth on one kernel line: booted with the tests that are wanted, and judged.

use std::time::Instant;

use anyhow::Result;
use isol_trace_guest::truth::plan::Part;

use super::{Selection, golden};
use crate::{
    say::say,
    setup::Setup,
    tally::Verdict,
    truth::{self, Results, Times, whole},
    verdicts::{self, Verdicts},
    vm::{Host, Outcome},
};

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
    let arguments = match truth::by_name(failed) {
        Some(names) => ["run"].into_iter().chain(names).collect(),
        None => vec![job.part.name()],
    };
    let outcome = truth::run(host, &name, kernel, &arguments, selection.accel, times)?;
    let verdicts = judge(job, &outcome, selection)?;
    say(format!(
        "test: {name}: {} tests, {} failed, in {} s",
        verdicts.len(),
        verdicts::failed(&verdicts),
        started.elapsed().as_secs()
    ));
    Ok(verdicts)
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
