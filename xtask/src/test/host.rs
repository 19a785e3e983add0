//! The tests that run on this machine, with `cargo test`.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, Result};

use crate::{
    say::print,
    setup::BuildTools,
    tally::{Tally, Verdict},
};

/// Runs them and counts.
pub(super) fn run(tools: &BuildTools) -> Result<Tally> {
    let mut cargo = tools.cargo();
    cargo
        .args(["test", "--workspace", "--exclude=isol-trace-ebpf"])
        .arg("--no-fail-fast");
    // Ignored tests are those that need root, and say so; without it they count as skipped.
    if rustix::process::geteuid().is_root() {
        cargo.args(["--", "--include-ignored"]);
    }
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut counter = Counter::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        counter.line(&line);
        print(line);
    }
    let succeeded = child.wait()?.success();
    Ok(counter.finish(succeeded))
}

/// Counts what the test programs print.
#[derive(Debug, Default)]
struct Counter {
    tally: Tally,
    ignored: u64,
}

impl Counter {
    /// Takes one line in.
    fn line(&mut self, line: &str) {
        if let Some((test, why)) = ignored(line) {
            self.ignored += 1;
            self.tally.add(test, &Verdict::Skip(why.to_owned()));
        } else if let Some(counts) = result(line) {
            self.tally.passed += counts.passed;
            self.tally.failed += counts.failed;
            // Some may have been ignored without a line of their own.
            self.tally.skipped += counts.skipped.saturating_sub(self.ignored);
            self.ignored = 0;
        }
    }

    /// The count; cargo's own failure counts if no test's does.
    fn finish(mut self, succeeded: bool) -> Tally {
        if !succeeded && self.tally.failed == 0 {
            self.tally.add(
                "cargo test",
                &Verdict::Fail("it failed before or between the tests; see above".into()),
            );
        } else if succeeded && self.tally.passed == 0 {
            self.tally
                .add("cargo test", &Verdict::Fail("no test ran".into()));
        }
        self.tally
    }
}

/// Name and reason of `test NAME ... ignored, REASON`.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (test, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((
        test,
        rest.strip_prefix(", ")
            .unwrap_or("ignored without a reason"),
    ))
}

/// The counts of `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        counts.split("; ").find_map(|part| {
            let number = part.trim().strip_suffix(word)?;
            number.trim().parse().ok()
        })
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str], succeeded: bool) -> String {
        let mut counter = Counter::default();
        for line in lines {
            counter.line(line);
        }
        counter.finish(succeeded).to_string()
    }

    const OK: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn every_test_program_counts() {
        assert_eq!(
            of(
                &[
                    "running 4 tests",
                    "test a ... ok",
                    "test b ... ignored, needs root",
                    OK,
                    OK
                ],
                true
            ),
            "6 passed, 0 failed, 2 skipped"
        );
        assert_eq!(
            of(
                &["test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out"],
                false
            ),
            "1 passed, 2 failed, 0 skipped"
        );
    }

    #[test]
    fn a_broken_build_fails() {
        assert_eq!(of(&[], false), "0 passed, 1 failed, 0 skipped");
        assert_eq!(of(&[OK], false), "3 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn no_test_at_all_fails() {
        assert_eq!(
            of(&["running 0 tests"], true),
            "0 passed, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn the_reason_of_an_ignored_test_is_read() {
        assert_eq!(
            ignored("test a::b ... ignored, needs root"),
            Some(("a::b", "needs root"))
        );
        assert_eq!(
            ignored("test a::b ... ignored"),
            Some(("a::b", "ignored without a reason"))
        );
        assert_eq!(ignored("test a::b ... ok"), None);
    }
}
