//! What the tests of a guest say together when it was run once or twice.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    say::say,
    tally::{Tally, Verdict},
};

/// Each test with its verdict, in order.
pub(crate) type Verdicts = Vec<(String, Verdict)>;

/// Counts the verdicts of `run`. Under emulation a provocation can meet the kernel's own
/// housekeeping, and what failed is repeated once, in a fresh guest: a test that fails in both has
/// failed, and what failed in one alone is said.
///
/// The second run is told which tests failed in the first. It may run more, or all.
pub(crate) fn of_two_runs(
    guest: &str,
    mut run: impl FnMut(&[String]) -> Result<Verdicts>,
) -> Result<Tally> {
    let mut verdicts = run(&[])?;
    let failing = failing(&verdicts);
    if !failing.is_empty() {
        say(format!(
            "test: {guest}: {} failed; once more, in a fresh guest",
            failing.len()
        ));
        verdicts = either(verdicts, run(&failing)?);
    }
    let mut tally = Tally::default();
    for (test, verdict) in &verdicts {
        tally.add(&format!("{guest} {test}"), verdict);
    }
    Ok(tally)
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
