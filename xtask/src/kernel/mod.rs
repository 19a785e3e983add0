//! The kernel with the task-isolation series: built, and tested in guests: its own tests, those of
//! the crate for programs that use it, and isol-trace beside it.

mod build;
mod complaints;
mod cost;
mod selftest;
mod series;
mod tap;
mod tree;
mod userspace;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Error, Result, ensure};

use self::build::{Built, Lacking};
pub(crate) use self::{
    cost::cost,
    series::{BASES, Base, Recipe},
    tree::{fetch, refresh},
};
use crate::{
    exec::Pace,
    phases::Phases,
    say::{print, say},
    setup::{KernelImage, Setup},
    tally::{Tally, Verdict},
    truth::{self, Times},
    verdicts,
    vm::Host,
};

/// Tests of the ground truth that only such a kernel can pass: isol-trace beside it.
const BOTH_SIDES: [&str; 9] = [
    "kernel_strict",
    "kernel_signal",
    "kernel_log",
    "kernel_agrees",
    "explain_write",
    "explain_allocation",
    "explain_first_touch",
    "explain_sibling",
    "explain_log",
];

/// Builds a kernel unless the cache has it, and prints where its image is.
pub(crate) fn build(setup: &Setup, recipe: Recipe) -> Result<ExitCode> {
    let built = build::ensure(setup, recipe, Pace::Full)?;
    print(built.image().display());
    Ok(ExitCode::SUCCESS)
}

/// Tests the series in guests of its kernel, and prints the closing line.
pub(crate) fn test(setup: &Setup, recipe: Recipe) -> Result<ExitCode> {
    ensure!(
        !recipe.stock,
        "the tests are those of the series: leave --stock out"
    );
    let built = build::ensure(setup, recipe, Pace::Full)?;
    let host = Host::open(setup)?;
    let mut times = Times::default();
    let tally = tested(setup, &host, recipe, &built, &mut times)?;
    say(format!("test: {times}"));
    Ok(tally.close())
}

/// A base, and its kernel with the series or why there is none.
#[derive(Debug)]
pub(crate) struct Kernel {
    base: Base,
    built: Result<Built>,
}

impl Kernel {
    /// Builds it, unless the cache has it.
    fn build(setup: &Setup, base: Base, pace: Pace) -> Self {
        Self {
            base,
            built: build::ensure(setup, Recipe::release(base), pace),
        }
    }
}

/// Builds the kernels that every run tests, as far as the cache lacks them, from what nothing else
/// takes of the machine.
pub(crate) fn build_idly(setup: &Setup) -> Vec<Kernel> {
    BASES
        .into_iter()
        .filter(|base| !base.may_lack)
        .map(|base| Kernel::build(setup, base, Pace::Idle))
        .collect()
}

/// Until when in a run another kernel is built: it takes a quarter of an hour on a small machine.
const LAST_BUILD: Duration = Duration::from_mins(45);

/// Tests the kernels of every base, counted, in a run that began then: those that were built, and
/// those of bases whose source need not be there, which a run builds unless it has been long already.
pub(crate) fn tally(
    setup: &Setup,
    host: &Host,
    built: Vec<Kernel>,
    began: Instant,
    times: &mut Times,
) -> Result<Tally> {
    let mut tally = Tally::default();
    for kernel in built {
        tally.merge(tested_if_built(setup, host, kernel, times)?);
    }
    for base in BASES.into_iter().filter(|base| base.may_lack) {
        let recipe = Recipe::release(base);
        if began.elapsed() > LAST_BUILD && !build::is_built(setup, recipe)? {
            let why = format!(
                "not built yet, and the run is long: `cargo xtask kernel build --base {}` builds it",
                base.name
            );
            tally.add(&recipe.to_string(), &Verdict::Skip(why));
            continue;
        }
        let kernel = Kernel::build(setup, base, Pace::Full);
        tally.merge(tested_if_built(setup, host, kernel, times)?);
    }
    Ok(tally)
}

/// Tests a kernel. One that cannot be built is a failure, save where the machine lacks what building
/// takes, or Debian the source of a base that need not be there.
fn tested_if_built(setup: &Setup, host: &Host, kernel: Kernel, times: &mut Times) -> Result<Tally> {
    let Kernel { base, built } = kernel;
    let recipe = Recipe::release(base);
    match built {
        Ok(built) => tested(setup, host, recipe, &built, times),
        Err(error) => {
            let mut tally = Tally::default();
            tally.add(&recipe.to_string(), &unbuilt(base, &error));
            Ok(tally)
        }
    }
}

/// What it means that a kernel cannot be built.
fn unbuilt(base: Base, error: &Error) -> Verdict {
    let why = format!("{error:#}");
    match error.downcast_ref() {
        Some(Lacking::Tools) => Verdict::Skip(why),
        Some(Lacking::Source(_)) if base.may_lack => Verdict::Skip(why),
        _ => Verdict::Fail(why),
    }
}

/// Every test in guests of a kernel: all that it can run.
fn tested(
    setup: &Setup,
    host: &Host,
    recipe: Recipe,
    built: &Built,
    times: &mut Times,
) -> Result<Tally> {
    let mut phase = Phases::begin();
    let mut part_ends = |times: &mut Times, what: &str| {
        phase.end(what);
        if let Some((_, time)) = phase.parts().last() {
            times.part(&format!("{recipe}: {what}"), *time);
        }
    };
    let name = recipe.to_string();
    let image = || KernelImage::of_ours(recipe.base.name, built.image());
    let mut tally = Tally::default();
    say(format!("test: the selftests on {name}"));
    tally.merge(verdicts::of_two_runs(&name, |failed| {
        selftest::run(host, image(), built, failed)
    })?);
    part_ends(times, "the selftests");
    say(format!("test: the crate on {name}"));
    tally.merge(verdicts::of_two_runs(&format!("{name} crate"), |_| {
        userspace::run(setup, host, image())
    })?);
    part_ends(times, "the crate");
    if recipe.debug {
        // It is built without type information, which isol-trace needs.
        return Ok(tally);
    }
    say(format!("test: isol-trace on {name}"));
    tally.merge(verdicts::of_two_runs(&name, |failed| {
        let again = truth::by_name(failed);
        truth::some(
            host,
            &name,
            image(),
            again.as_deref().unwrap_or(&BOTH_SIDES),
            times,
        )
    })?);
    part_ends(times, "isol-trace");
    Ok(tally)
}
