//! What the tests of a guest say together when it was run once or twice.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    say::say,
    tally::{Tally, Verdict},
};

/// Each test with its verdict, in order.
pub(crate) type Verdicts = Vec<(String, Verdict)>;

/// What the tests of a guest said the first time.
///
/// Under emulation a trigger can meet the kernel's own housekeeping, and what failed is repeated once,
/// in a fresh guest: a test that fails in both has failed, and what failed in one alone is said.
#[derive(Debug)]
pub(crate) struct FirstRun {
    guest: String,
    verdicts: Verdicts,
}

impl FirstRun {
    /// The verdicts of a guest that is called so.
    pub(crate) fn of(guest: &str, verdicts: Verdicts) -> Self {
        Self {
            guest: guest.to_owned(),
            verdicts,
        }
    }

    /// The names of the tests that failed.
    pub(crate) fn failing(&self) -> Vec<String> {
        failing(&self.verdicts)
    }

    /// Counts the verdicts, as they are.
    pub(crate) fn alone(self) -> Tally {
        counted(&self.guest, &self.verdicts)
    }

    /// Counts what this and a second run say together. That may have run more than what had failed, or all.
    pub(crate) fn and(self, second: Verdicts) -> Tally {
        counted(&self.guest, &either(self.verdicts, second))
    }

    /// Says that there is to be a second one.
    pub(crate) fn say_again(&self) {
        say(format!(
            "test: {}: {} failed; once more, in a fresh guest",
            self.guest,
            failed(&self.verdicts)
        ));
    }
}

/// Counts the verdicts of `run`, which is told in a second run which tests failed in the first.
pub(crate) fn of_two_runs(
    guest: &str,
    mut run: impl FnMut(&[String]) -> Result<Verdicts>,
) -> Result<Tally> {
    let first = FirstRun::of(guest, run(&[])?);
    let failing = first.failing();
    if failing.is_empty() {
        return Ok(first.alone());
    }
    first.say_again();
    Ok(first.and(run(&failing)?))
}

fn counted(guest: &str, verdicts: &Verdicts) -> Tally {
    let mut tally = Tally::default();
    for (test, verdict) in verdicts {
        tally.add(&format!("{guest} {test}"), verdict);
    }
    tally
}

/// The names of those that failed.
fn failing(verdicts: &[(String, Verdict)]) -> Vec<String> {
    let fails = |(_, verdict): &&(String, Verdict)| matches!(verdict, Verdict::Fail(_));
    let failing = verdicts.iter().filter(fails);
    failing.map(|(test, _)| test.clone()).collect()
}

/// How many of them failed.
pub(crate) fn failed(verdicts: &[(String, Verdict)]) -> usize {
    failing(verdicts).len()
}

/// What two runs of the same tests say together: the second, save where the first passed. A test
/// that one of them did not come to has failed there.
fn either(first: Verdicts, second: Verdicts) -> Verdicts {
    let mut first: BTreeMap<_, _> = first.into_iter().collect();
    let mut both = Vec::new();
    for (test, verdict) in second {
        let verdict = match (first.remove(&test), verdict) {
            (Some(Verdict::Pass), Verdict::Fail(why))
            | (Some(Verdict::Fail(why)), Verdict::Pass) => {
                say(format!("test: {test} passed once of two runs: {why}"));
                Verdict::Pass
            }
            (_, verdict) => verdict,
        };
        both.push((test, verdict));
    }
    both.extend(first);
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_fails_that_never_passed() {
        let fail = || Verdict::Fail("x".into());
        let verdicts = |of: &[(&str, Verdict)]| -> Verdicts {
            of.iter()
                .map(|(test, verdict)| ((*test).to_owned(), verdict.clone()))
                .collect()
        };
        let first = verdicts(&[
            ("twice", fail()),
            ("first", fail()),
            ("second", Verdict::Pass),
            ("gone", fail()),
            ("unseen", Verdict::Pass),
        ]);
        let second = verdicts(&[
            ("twice", fail()),
            ("first", Verdict::Pass),
            ("second", fail()),
            ("new", fail()),
            ("none", Verdict::Skip("y".into())),
        ]);
        let both = either(first, second);
        let failing: Vec<_> = both
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Fail(_)))
            .map(|(test, _)| test.as_str())
            .collect();
        assert_eq!(failing, ["twice", "new", "gone"]);
        assert_eq!(both.len(), 7);
    }

    #[test]
    fn only_what_failed_is_asked_for_again_and_the_rest_stands() {
        let mut asked = Vec::new();
        let tally = of_two_runs("guest", |again| {
            asked.push(again.to_vec());
            Ok(match asked.len() {
                1 => vec![
                    ("good".to_owned(), Verdict::Pass),
                    ("flaky".to_owned(), Verdict::Fail("x".into())),
                    ("bad".to_owned(), Verdict::Fail("y".into())),
                ],
                _ => vec![
                    ("flaky".to_owned(), Verdict::Pass),
                    ("bad".to_owned(), Verdict::Fail("y".into())),
                ],
            })
        })
        .unwrap();
        assert_eq!(
            asked,
            [Vec::new(), vec!["flaky".to_owned(), "bad".to_owned()]]
        );
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 0 skipped");
    }
}
