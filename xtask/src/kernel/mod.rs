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

use std::process::ExitCode;

use anyhow::{Error, Result, ensure};

use self::build::{Built, Lacking};
pub(crate) use self::{
    cost::cost,
    series::{BASES, Base, Recipe},
    tree::{fetch, refresh},
};
use crate::{
    say::{print, say},
    setup::{KernelImage, Setup},
    tally::{Tally, Verdict},
    test::{self, Budget},
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
    let built = build::ensure(setup, recipe)?;
    print(built.image().display());
    Ok(ExitCode::SUCCESS)
}

/// Tests the series in guests of its kernel, and prints the closing line.
pub(crate) fn test(setup: &Setup, recipe: Recipe) -> Result<ExitCode> {
    ensure!(
        !recipe.stock,
        "the tests are those of the series: leave --stock out"
    );
    let built = build::ensure(setup, recipe)?;
    let host = Host::open(setup)?;
    Ok(tested(setup, &host, recipe, &built)?.close())
}

/// Tests the kernels of every base, counted. Those that the cache lacks are built, unless the run
/// has been long already.
pub(crate) fn tally(setup: &Setup, host: &Host, budget: Budget) -> Result<Tally> {
    let mut tally = Tally::default();
    for base in BASES {
        let recipe = Recipe::release(base);
        if budget.is_spent() && !build::is_built(setup, recipe)? {
            let why = format!(
                "not built yet, and the run is long: `cargo xtask kernel build --base {}` builds it",
                base.name
            );
            tally.add(&recipe.to_string(), &Verdict::Skip(why));
            continue;
        }
        // One that cannot be built is a failure, save where the machine lacks what building takes, or
        // Debian the source of a base that need not be there.
        match build::ensure(setup, recipe) {
            Ok(built) => tally.merge(tested(setup, host, recipe, &built)?),
            Err(error) => tally.add(&recipe.to_string(), &unbuilt(base, &error)),
        }
    }
    Ok(tally)
}

/// What it means that a kernel cannot be built.
fn unbuilt(base: Base, error: &Error) -> Verdict {
    let why = format!("{error:#}");
    match error.downcast_ref() {
        Some(Lacking::Tools(_)) => Verdict::Skip(why),
        Some(Lacking::Source(_)) if base.may_lack => Verdict::Skip(why),
        _ => Verdict::Fail(why),
    }
}

/// Every test in guests of a kernel: all that it can run.
fn tested(setup: &Setup, host: &Host, recipe: Recipe, built: &Built) -> Result<Tally> {
    let name = recipe.to_string();
    let image = || KernelImage::of_ours(recipe.base.name, built.image());
    let mut tally = Tally::default();
    say(format!("test: the selftests on {name}"));
    tally.merge(verdicts::of_two_runs(&name, || {
        selftest::run(host, image(), built)
    })?);
    say(format!("test: the crate on {name}"));
    tally.merge(verdicts::of_two_runs(&format!("{name} crate"), || {
        userspace::run(setup, host, image())
    })?);
    if recipe.debug {
        // It is built without type information, which isol-trace needs.
        return Ok(tally);
    }
    say(format!("test: isol-trace on {name}"));
    tally.merge(verdicts::of_two_runs(&name, || {
        test::some(host, &name, image(), &BOTH_SIDES)
    })?);
    Ok(tally)
}
