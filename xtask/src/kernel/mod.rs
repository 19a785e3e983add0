//! The kernel with the task-isolation series: built, and its selftests run in a guest.

mod build;
mod complaints;
mod selftest;
mod series;

use std::process::ExitCode;

use anyhow::Result;

use self::build::Lacking;
pub(crate) use self::series::{BASES, Base};
use crate::{
    say::{print, say},
    setup::{KernelImage, Setup},
    tally::{Tally, Verdict},
    verdicts,
    vm::Host,
};

/// Builds the kernel of a base unless the cache has it, and prints where its image is.
pub(crate) fn build(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    let built = build::ensure(setup, base, debug)?;
    print(built.image().display());
    Ok(ExitCode::SUCCESS)
}

/// Runs the selftests of the series in a guest of its kernel, and prints the closing line.
pub(crate) fn test(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    build::ensure(setup, base, debug)?;
    let host = Host::open(setup)?;
    Ok(tally(setup, &host, base, debug)?.close())
}

/// The same, counted. A kernel that cannot be built is a failure, save where the machine lacks what
/// building takes, or the source of a base that need not be there.
pub(crate) fn tally(setup: &Setup, host: &Host, base: Base, debug: bool) -> Result<Tally> {
    let mut tally = Tally::default();
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
    say(format!("test: the selftests on {name}"));
    verdicts::of_two_runs(&name, || {
        let image = KernelImage::of_ours(base.name, built.image());
        selftest::run(host, image, &built)
    })
}
