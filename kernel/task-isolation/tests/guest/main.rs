//! What the crate does on a kernel that has task isolation, as root, with two isolated CPUs that are
//! quiet: `cargo xtask kernel test` runs it in a guest. Where the kernel lacks the feature all are
//! skipped. The verdicts are printed by the Test Anything Protocol, as the kernel's selftests print theirs.
//!
//! - `rules`: what is refused, and whether the error says why;
//! - `sections`: isolated sections, and how they end;
//! - `programs`: the examples, and threads that the kernel kills;
//! - `stage`: what the tests share.

mod programs;
mod rules;
mod sections;
mod stage;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    thread,
};

use anyhow::{Result, anyhow};
use rustix::mm::{MlockAllFlags, mlockall};
use task_isolation::features;

/// A test: what should hold, and the look at it.
type Test = (&'static str, fn() -> Result<()>);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, what] = arguments.as_slice()
        && first == programs::CHILD
    {
        return programs::child(what);
    }
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody can be told where that fails.
            let _ = writeln!(io::stderr(), "guest: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs each test on a thread of its own, one after another, and says how many have failed. Words that
/// are no options name parts of the tests' names, as with `cargo test`.
fn run(arguments: &[String]) -> Result<usize> {
    let mut tests: Vec<Test> = [rules::TESTS, sections::TESTS, programs::TESTS].concat();
    let mut words = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .peekable();
    if words.peek().is_some() {
        tests.retain(|(name, _)| words.clone().any(|word| name.contains(word.as_str())));
    }
    let mut out = io::stdout();
    writeln!(out, "TAP version 13")?;
    if let Err(error) = features() {
        writeln!(out, "1..0 # SKIP {error}")?;
        return Ok(0);
    }
    writeln!(out, "1..{}", tests.len())?;
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?;
    stage::prepare()?;
    let mut failed = 0;
    for (number, (name, test)) in (1..).zip(tests) {
        let result = thread::spawn(test)
            .join()
            .unwrap_or_else(|_| Err(anyhow!("it panicked")));
        match result {
            Ok(()) => writeln!(out, "ok {number} crate.{name}")?,
            Err(error) => {
                failed += 1;
                writeln!(out, "# {error:#}\nnot ok {number} crate.{name}")?;
            }
        }
    }
    Ok(failed)
}
