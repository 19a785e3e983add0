//! The kernel with the task-isolation series: built, and tested in guests: its own tests, those of
//! the crate for programs that use it, and isol-trace beside it.

mod build;
mod complaints;
mod selftest;
mod series;
mod tree;
mod userspace;

use std::process::ExitCode;

use anyhow::Result;

use self::build::Lacking;
pub(crate) use self::{
    series::{BASES, Base},
    tree::{fetch, refresh},
};
use crate::{
    say::{print, say},
    setup::{KernelImage, Setup},
    tally::{Tally, Verdict},
    test, verdicts,
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

/// Builds the kernel of a base unless the cache has it, and prints where its image is.
pub(crate) fn build(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    let built = build::ensure(setup, base, debug)?;
    print(built.image().display());
    Ok(ExitCode::SUCCESS)
}

/// Tests the series in guests of its kernel, and prints the closing line.
pub(crate) fn test(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    build::ensure(setup, base, debug)?;
    let host = Host::open(setup)?;
    Ok(tally(setup, &host, base, debug, true)?.close())
}

/// The same, counted; a kernel that is not in the cache is built only if it may be. A kernel that cannot be built is a failure, save where the machine lacks what
/// building takes, or the source of a base that need not be there.
pub(crate) fn tally(
    setup: &Setup,
    host: &Host,
    base: Base,
    debug: bool,
    may_build: bool,
) -> Result<Tally> {
    let mut tally = Tally::default();
    if !may_build && !build::is_built(setup, base, debug)? {
        let why = format!(
            "not built yet: `cargo xtask kernel build --base {}` does",
            base.name
        );
        let name = format!("{} with the series", base.name);
        tally.add(&name, &Verdict::Skip(why));
        return Ok(tally);
    }
    let built = match build::ensure(setup, base, debug) {
        Ok(built) => built,
        Err(error) => {
            let why = format!("{error:#}");
            let verdict = match error.downcast_ref() {
                Some(Lacking::Tools(_)) => Verdict::Skip(why),
                Some(Lacking::Source(_)) if base.may_lack => Verdict::Skip(why),
                _ => Verdict::Fail(why),
            };
            tally.add(&format!("{} with the series", base.name), &verdict);
            return Ok(tally);
        }
    };
    let kind = if debug { ", checking itself" } else { "" };
    let name = format!("{} with the series{kind}", base.name);
    let image = || KernelImage::of_ours(base.name, built.image());
    say(format!("test: the selftests on {name}"));
    tally.merge(verdicts::of_two_runs(&name, || {
        selftest::run(host, image(), &built)
    })?);
    say(format!("test: the crate on {name}"));
    tally.merge(verdicts::of_two_runs(&format!("{name} crate"), || {
        userspace::run(setup, host, image())
    })?);
    tally.merge(verdicts::of_two_runs(&name, || {
        test::some(host, &name, image(), &BOTH_SIDES)
    })?);
    Ok(tally)
}
