//! The result lines of a guest: what each says, and whether they are all there.
//!
//! Three kinds: `{"test":…,"verdict":"pass|fail|skip","why":…}`, `{"probes":[…]}` and, last,
//! `{"done":N}`. A guest that says nothing, or not the last, has failed.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::tally::Verdict;

/// A probe's verdict in the header of a guest's log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Probe {
    /// Its name.
    pub(crate) name: String,
    /// `attached`, `absent` or `failed`.
    pub(crate) state: String,
    /// Why it is not attached.
    pub(crate) why: Option<String>,
}

/// One line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Test {
        test: String,
        verdict: Word,
        why: Option<String>,
    },
    Probes {
        probes: Vec<Probe>,
    },
    Done {
        done: u64,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Pass,
    Fail,
    Skip,
}

/// The test that a result line is the verdict of.
pub(crate) fn test_of(line: &str) -> Option<String> {
    match serde_json::from_str(line) {
        Ok(Line::Test { test, .. }) => Some(test),
        _ => None,
    }
}

/// Everything that a guest said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    /// Each test with its verdict, in order.
    pub(crate) tests: Vec<(String, Verdict)>,
    /// The probes of its log's header.
    pub(crate) probes: Option<Vec<Probe>>,
    /// What is wrong with the lines themselves.
    pub(crate) problems: Vec<String>,
}

impl Results {
    /// Reads the lines of one run.
    pub(crate) fn read<'line>(lines: impl IntoIterator<Item = &'line str>) -> Self {
        let mut results = Self::default();
        let mut done = None;
        let mut names = BTreeSet::new();
        for line in lines {
            if done.is_some() {
                results.problem(format!("a line after the closing one: {line}"));
            }
            match serde_json::from_str(line) {
                Ok(Line::Test { test, verdict, why }) => {
                    if !names.insert(test.clone()) {
                        results.problem(format!("the test {test} has two verdicts"));
                    }
                    let verdict = match verdict {
                        Word::Pass => Verdict::Pass,
                        Word::Fail => {
                            Verdict::Fail(why.unwrap_or_else(|| "no reason given".into()))
                        }
                        Word::Skip => match why {
                            Some(why) => Verdict::Skip(why),
                            None => Verdict::Fail("skipped without a reason".into()),
                        },
                    };
                    results.tests.push((test, verdict));
                }
                Ok(Line::Probes { probes }) => results.probes = Some(probes),
                Ok(Line::Done { done: count }) => done = Some(count),
                Err(_) => results.problem(format!("not a result: {line}")),
            }
        }
        match done {
            None => results.problem("the closing line is missing: the tests were cut short".into()),
            Some(count) if count != results.tests.len() as u64 => results.problem(format!(
                "the closing line counts {count} tests, and {} came",
                results.tests.len()
            )),
            Some(0) => results.problem("no test ran".into()),
            Some(_) => {}
        }
        results
    }

    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_run_is_read() {
        let results = Results::read([
            r#"{"probes":[{"name":"user_exit","state":"attached"},{"name":"csd","state":"absent","why":"before 6.5"}]}"#,
            r#"{"test":"a","verdict":"pass"}"#,
            r#"{"test":"b","verdict":"fail","why":"two breaches"}"#,
            r#"{"test":"c","verdict":"skip","why":"no device"}"#,
            r#"{"done":3}"#,
        ]);
        assert_eq!(results.problems, [""; 0]);
        assert_eq!(
            results.tests,
            [
                ("a".into(), Verdict::Pass),
                ("b".into(), Verdict::Fail("two breaches".into())),
                ("c".into(), Verdict::Skip("no device".into())),
            ]
        );
        assert_eq!(
            results.probes.unwrap()[1].why.as_deref(),
            Some("before 6.5")
        );
    }

    #[test]
    fn a_run_that_is_not_whole_has_a_problem() {
        let pass = r#"{"test":"a","verdict":"pass"}"#;
        let cases: [(&[&str], &str); 7] = [
            (&[], "closing line is missing"),
            (&[pass], "closing line is missing"),
            (&[r#"{"done":0}"#], "no test ran"),
            (&[pass, r#"{"done":2}"#], "counts 2"),
            (&[pass, pass, r#"{"done":2}"#], "two verdicts"),
            (
                &[r#"{"test":"a","verdict":"fine"}"#, r#"{"done":1}"#],
                "not a result",
            ),
            (&[pass, r#"{"done":1}"#, pass], "after the closing"),
        ];
        for (lines, problem) in cases {
            let results = Results::read(lines.iter().copied());
            assert!(
                results.problems.iter().any(|found| found.contains(problem)),
                "{lines:?}: {:?}",
                results.problems
            );
        }
    }

    #[test]
    fn a_skip_without_a_reason_fails() {
        let results = Results::read([r#"{"test":"a","verdict":"skip"}"#, r#"{"done":1}"#]);
        assert!(matches!(results.tests[0].1, Verdict::Fail(_)));
    }
}
