//! Counting verdicts, and saying each as it comes.

use std::{fmt, process::ExitCode};

use crate::say::{print, say};

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Pass,
    /// Not as it should be, and how.
    Fail(String),
    /// Not run, and why.
    Skip(String),
}

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// As they should be.
    pub(crate) passed: u64,
    /// Not as they should be.
    pub(crate) failed: u64,
    /// Not run.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Says a verdict and counts it.
    pub(crate) fn add(&mut self, test: &str, verdict: &Verdict) {
        match verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail(why) => {
                self.failed += 1;
                say(format!("FAIL {test}: {why}"));
            }
            Verdict::Skip(why) => {
                self.skipped += 1;
                say(format!("skip {test}: {why}"));
            }
        }
    }

    /// Adds another count.
    pub(crate) fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Prints the closing line; a run that tested nothing is no success.
    pub(crate) fn close(self) -> ExitCode {
        print(self);
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_counted_as_what_it_is() {
        let mut tally = Tally::default();
        tally.add("a", &Verdict::Pass);
        tally.add("b", &Verdict::Fail("x".into()));
        tally.add("c", &Verdict::Skip("y".into()));
        tally.merge(Tally {
            passed: 2,
            ..Tally::default()
        });
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn only_passes_and_no_failure_succeed() {
        let code = |passed, failed| {
            let tally = Tally {
                passed,
                failed,
                skipped: 1,
            };
            format!("{:?}", tally.close())
        };
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(code(1, 0), success);
        assert_ne!(code(1, 1), success);
        assert_ne!(code(0, 0), success);
    }
}
