//! Which remedies are tried, and why the others are not.

use std::collections::{BTreeMap, BTreeSet};

use super::{untried::UNTRIED, *};

/// The table of rules, as people edit it.
const RULES: &str = include_str!("../../../../../isol-trace/src/remedy/rules.toml");

/// What a rule says of itself.
struct Rule {
    id: &'static str,
    /// Something ends it.
    can_end: bool,
    tried: BTreeSet<String>,
}

fn rules() -> Vec<Rule> {
    let sections = RULES.split("[[rule]]\n").skip(1);
    let rules = sections.map(|section| {
        let values = |field: &str| -> Option<Vec<&'static str>> {
            let mut lines = section.lines();
            let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(" = "))?;
            Some(value.split('"').skip(1).step_by(2).collect())
        };
        Rule {
            id: values("id").expect("a name")[0],
            can_end: values("ends").expect("who ends it") != ["nothing"],
            tried: words(values("tried").unwrap_or_default()),
        }
    });
    rules.collect()
}

fn words(all: impl IntoIterator<Item = impl ToString>) -> BTreeSet<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

/// Each rule that is tried, and the kernel lines of that.
fn tried() -> BTreeMap<&'static str, BTreeSet<String>> {
    let kernels = |test: &str| {
        let found = KERNELS.iter().find(|(one, _)| *one == test);
        let (_, kernels) = found.expect("a test of each group has its kernels");
        words(
            kernels
                .iter()
                .map(|(major, minor)| format!("{major}.{minor}")),
        )
    };
    let mut tried = BTreeMap::new();
    for causes in [causes::CAUSES, oldest::CAUSES] {
        for cause in causes {
            tried.insert(cause.rule, kernels(causes[0].test));
        }
    }
    for program in programs::PROGRAMS {
        tried.insert(program.rule, kernels(programs::PROGRAMS[0].test));
    }
    tried.insert("fair-server", kernels(server::TEST));
    for rule in BOOTED {
        tried.insert(rule, words([BOOTED_ON]));
    }
    tried
}

#[test]
fn each_rule_that_something_ends_is_tried_or_has_a_reason_why_not() {
    let wanted: Vec<_> = rules()
        .into_iter()
        .filter(|rule| rule.can_end)
        .map(|rule| rule.id)
        .collect();
    let untried = UNTRIED.iter().flat_map(|(rules, _)| *rules).copied();
    let mut have: Vec<_> = tried().into_keys().chain(untried).collect();
    have.sort_unstable();
    let mut sorted = wanted;
    sorted.sort_unstable();
    assert_eq!(have, sorted, "each once");
}

#[test]
fn each_rule_says_where_its_remedy_is_tried() {
    let said: BTreeMap<_, _> = rules()
        .into_iter()
        .filter(|rule| !rule.tried.is_empty())
        .map(|rule| (rule.id, rule.tried))
        .collect();
    assert_eq!(said, tried());
}

#[test]
fn a_remedy_is_read_as_the_log_has_it() {
    let text = r#"{"type":"remedy","id":"a","text":"t","run":["x"],"boot":[],"verify":["v"]}"#;
    let remedy: Remedy = serde_json::from_str(text).unwrap();
    assert_eq!(
        (remedy.id.as_str(), remedy.run),
        ("a", vec!["x".to_owned()])
    );
}
