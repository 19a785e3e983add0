//! The tests that run on this machine, with `cargo test`.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::Command,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::Result;

use crate::{
    exec::{self, Pace},
    say::print,
    setup::BuildTools,
    tally::{Tally, Verdict},
    truth::Times,
};

/// Between two looks whether cargo has ended, where nothing more is said.
const GLANCE: Duration = Duration::from_millis(500);

/// All but the BPF crate, which has no tests: it builds only for the BPF target.
fn cargo_test(tools: &BuildTools) -> Command {
    let mut cargo = tools.cargo();
    cargo
        .args(["test", "--workspace", "--exclude=isol-trace-ebpf"])
        .arg("--no-fail-fast");
    cargo
}

/// Compiles them. Where that fails, running them says why.
pub(super) fn compile(tools: &BuildTools, pace: Pace) {
    let _ = exec::shown(pace, cargo_test(tools).arg("--no-run"));
}

/// Runs them and counts. Tells how long each program of tests took.
pub(super) fn run(tools: &BuildTools, times: &mut Times) -> Result<Tally> {
    let mut cargo = cargo_test(tools);
    // Ignored tests are those that need root, and say so; without it they count as skipped.
    if rustix::process::geteuid().is_root() {
        cargo.args(["--", "--include-ignored"]);
    }
    // One stream: cargo says on standard error which program it is whose tests come on the other.
    let (mut child, output) = exec::both_streams(&mut cargo)?;
    let lines = lines(output);
    let mut counter = Counter::default();
    let status = loop {
        match lines.recv_timeout(GLANCE) {
            Ok(line) => {
                counter.line(&line);
                print(line);
            }
            // What a test has left behind may hold the stream open.
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break child.wait()?,
        }
    };
    let succeeded = status.success();
    for (program, time) in &counter.times {
        times.test(&format!("this machine's {program}"), *time);
    }
    Ok(counter.finish(succeeded))
}

/// The lines of a stream as they come, whatever they consist of.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        // An error is an end as well.
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

/// Counts what the test programs print.
#[derive(Debug, Default)]
struct Counter {
    tally: Tally,
    ignored: u64,
    /// The program whose tests come.
    program: Option<String>,
    times: Vec<(String, Duration)>,
}

impl Counter {
    /// Takes one line in.
    fn line(&mut self, line: &str) {
        if let Some(program) = program(line) {
            self.program = Some(program.to_owned());
        } else if let Some((test, why)) = ignored(line) {
            self.ignored += 1;
            self.tally.add(test, &Verdict::Skip(why.to_owned()));
        } else if let Some(counts) = result(line) {
            self.tally.passed += counts.passed;
            self.tally.failed += counts.failed;
            // Some may have been ignored without a line of their own.
            self.tally.skipped += counts.skipped.saturating_sub(self.ignored);
            self.ignored = 0;
            if let (Some(program), Some(time)) = (self.program.take(), time(line)) {
                self.times.push((program, time));
            }
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

/// The program of `     Running unittests src/lib.rs (/t/debug/deps/isol_trace-53a8df7c)`.
fn program(line: &str) -> Option<&str> {
    let (_, path) = line
        .trim_start()
        .strip_prefix("Running ")?
        .split_once(" (")?;
    let file = path.strip_suffix(')')?.rsplit('/').next()?;
    Some(file.rsplit_once('-').map_or(file, |(name, _)| name))
}

/// The time of `test result: ok. …; finished in 84.82s`.
fn time(line: &str) -> Option<Duration> {
    let (_, time) = line.split_once("finished in ")?;
    let seconds: f64 = time.trim().strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
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
    fn lines_come_whatever_they_consist_of() {
        let all: Vec<_> = lines(&b"one\n\xff two\nthree"[..]).iter().collect();
        assert_eq!(all, ["one", "\u{fffd} two", "three"]);
    }

    #[test]
    fn each_program_of_tests_has_its_time() {
        let mut counter = Counter::default();
        for line in [
            "     Running unittests src/lib.rs (/t/debug/deps/isol_trace-53a8df7c8fd44939)",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 84.82s",
            "   Doc-tests isol_trace",
            OK,
            "     Running tests/cli_help.rs (/t/debug/deps/cli_help-cebad4b547829af9)",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s",
        ] {
            counter.line(line);
        }
        assert_eq!(
            counter.times,
            [
                ("isol_trace".to_owned(), Duration::from_millis(84_820)),
                ("cli_help".to_owned(), Duration::from_secs(2)),
            ]
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
