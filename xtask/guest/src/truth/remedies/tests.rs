//! Which remedies are tried, and why the others are not.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The table of rules, as people edit it.
const RULES: &str = include_str!("../../../../../isol-trace/src/attrib/rules/rules.toml");

/// Rules with commands or boot arguments that no guest tries, and why.
const UNTRIED: &[(&str, &str)] = &[
    (
        "clocksource-skew-check",
        "before 7.2 the kernel checks so only after a suspicious reading, which an emulator cannot be asked for; its argument is that of clocksource-watchdog, which is tried",
    ),
    ("cpufreq", "the guest's CPUs have no frequency driver"),
    (
        "isolcpus-dropped",
        "no breach shows it; every guest boots with both arguments as the rule has them, and `Guest::detect` asks for what they do",
    ),
    (
        "load-balance",
        "where the scheduler balances, the tick is on as well, and its rule comes first: residual-tick, which is tried with the same line",
    ),
    (
        "managed-irq",
        "the guest's devices have one queue each, and none of their drivers has its interrupts managed",
    ),
    (
        "nmi-backtrace",
        "its commands are for reports of lockups, which no test makes",
    ),
    ("nmi-perf-counter", "QEMU's TCG has no performance counters"),
    (
        "rcu-expedited",
        "RCU asks a CPU only while it is in the kernel; no load of the guests is there when it does",
    ),
    (
        "rcu-kick",
        "RCU asks a CPU only after it has been in the kernel for long; no load of the guests is",
    ),
    (
        "rcu-softirq",
        "where the softirq runs, the tick is on as well, and its rule comes first: residual-tick, which is tried with the same line",
    ),
    (
        "threaded-irq",
        "its command is that of device-irq, which is tried; only drivers of hardware that the guest lacks have such threads",
    ),
    ("tick-clock-unstable", "the guest's TSC stays stable"),
    (
        "tick-rcu",
        "RCU wants the tick of a CPU only after it has been in the kernel for long; no load of the guests is",
    ),
    (
        "tlb-compaction",
        "its commands are for a program that locks its memory, and do nothing alone",
    ),
    ("tlb-numa-balancing", "the guest has one memory node"),
    ("tsc-adjust-check", "QEMU's TCG has no TSC_ADJUST register"),
];

/// What a rule says of itself.
struct Rule {
    id: &'static str,
    has_commands: bool,
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
            has_commands: values("run").is_some() || values("boot").is_some(),
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
    tried.insert("fair-server", kernels(server::TEST));
    for rule in BOOTED {
        tried.insert(rule, words([BOOTED_ON]));
    }
    tried
}

#[test]
fn each_rule_with_commands_is_tried_or_has_a_reason_why_not() {
    let wanted: Vec<_> = rules()
        .into_iter()
        .filter(|rule| rule.has_commands)
        .map(|rule| rule.id)
        .collect();
    let untried = UNTRIED.iter().map(|(rule, _)| *rule);
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
