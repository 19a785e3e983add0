//! The kernel with the task-isolation series: built, and its selftests and those of the crate for
//! programs that use it run in guests.

mod build;
mod selftest;
mod series;
mod userspace;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use self::series::{BASES, Base};
use crate::{
    say::print,
    setup::{KernelImage, Setup},
    tally::Tally,
    vm::Host,
};

/// Builds the kernel of a base unless the cache has it, and prints where its image is.
pub(crate) fn build(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    let built = build::ensure(setup, base, debug)?;
    print(built.image().display());
    Ok(ExitCode::SUCCESS)
}

/// Runs the selftests of the series and the tests of the crate in guests of its kernel, and prints
/// the closing line.
pub(crate) fn test(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    let built = build::ensure(setup, base, debug)?;
    let host = Host::open(setup)?;
    let image = KernelImage::of_ours(base.name, built.image());
    let mut tally = Tally::default();
    selftest::run(&host, image.clone(), &built, &mut tally)?;
    userspace::run(setup, &host, image, &mut tally)?;
    Ok(tally.close())
}
