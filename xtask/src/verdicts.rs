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
/// housekeeping, and a run in which something failed is repeated once, in a fresh guest: a test that
/// fails in both has failed, and what failed in one alone is said.
pub(crate) fn of_two_runs(guest: &str, mut run: impl FnMut() -> Result<Verdicts>) -> Result<Tally> {
    let mut verdicts = run()?;
    let failed = failed(&verdicts);
    if failed > 0 {
        say(format!(
            "test: {guest}: {failed} failed; once more, in a fresh guest"
        ));
        verdicts = either(verdicts, run()?);
    }
    let mut tally = Tally::default();
    for (test, verdict) in &verdicts {
        tally.add(&format!("{guest} {test}"), verdict);
    }
    Ok(tally)
}

/// How many of them failed.
pub(crate) fn failed(verdicts: &[(String, Verdict)]) -> usize {
    let fails = |(_, verdict): &&(String, Verdict)| matches!(verdict, Verdict::Fail(_));
    verdicts.iter().filter(fails).count()
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
}
