//! The kernel with the task-isolation series: built, and its selftests run in a guest.

mod build;
mod selftest;
mod series;

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

/// Runs the selftests of the series in a guest of its kernel, and prints the closing line.
pub(crate) fn test(setup: &Setup, base: Base, debug: bool) -> Result<ExitCode> {
    let built = build::ensure(setup, base, debug)?;
    let host = Host::open(setup)?;
    let image = KernelImage::of_ours(base.name, built.image());
    let mut tally = Tally::default();
    selftest::run(&host, image, &built, &mut tally)?;
    Ok(tally.close())
}
