//! Every finding, on a host that has what it warns of and on one that nearly has.

use std::collections::BTreeSet;

use super::*;

/// A finding, a host that it is made for, and one that it is not.
struct Case {
    id: &'static str,
    bad: Tree,
    is: Option<Severity>,
    near: Tree,
    instead: Option<Severity>,
    /// The CPUs that are named.
    cpus: Option<&'static str>,
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn cases() -> Vec<Case> {
    let half = || Tree::of("half");
    let cmdline = |line| good().file("/proc/cmdline", line);
    let case = |id, bad, is, near, instead| Case {
        id,
        bad,
        is,
        near,
        instead,
        cpus: None,
    };
    // The host that nobody tuned against the one that somebody did.
    let plain = [
        ("scheduler-domains", DEFECT),
        ("device-interrupts", DEFECT),
        ("lockup-watchdogs", DEFECT),
        ("unbound-workqueues", DEFECT),
        ("clocksource-watchdog", DEFECT),
        ("fair-server", DEFECT),
        ("default-irq-affinity", WARNING),
        ("machine-check-poll", WARNING),
        ("timer-migration", WARNING),
        ("ksm", WARNING),
        ("numa-balancing", WARNING),
        ("transparent-huge-pages", WARNING),
        ("cpufreq-governor", WARNING),
        ("smt-siblings", WARNING),
        ("probes", WARNING),
        ("idle-states", NOTE),
        ("kernel-symbols", NOTE),
        ("locked-memory", NOTE),
    ];
    let mut cases: Vec<_> = plain
        .into_iter()
        .map(|(id, is)| case(id, half(), is, good(), FINE))
        .collect();
    let behind = "nohz_full=2-3 isolcpus=nohz,domain,2-3";
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let adjust = "cpu:type:x86,ven0000fam0006mod0055:feature:,0068,0078,0121";
    let adjustable = |tree: Tree| tree.file(&format!("{CPU}/modalias"), adjust);
    let partition = |state| good().file("/sys/fs/cgroup/rt/cpuset.cpus.partition", state);
    let without_tickless = |line| cmdline(line).file(&format!("{CPU}/nohz_full"), "(null)");
    cases.extend([
        case("nohz-full", Tree::of("no-entry"), DEFECT, good(), FINE),
        case(
            "dynamic-ticks",
            booted("nohz=off"),
            DEFECT,
            booted("nohz=on"),
            None,
        ),
        case(
            "cpuset-partitions",
            partition("isolated invalid"),
            DEFECT,
            partition("isolated"),
            FINE,
        ),
        case(
            "isolcpus-in-force",
            Tree::of("no-entry"),
            DEFECT,
            good(),
            FINE,
        ),
        case(
            "isolcpus-nohz-flag",
            cmdline(behind).file("/proc/sys/kernel/osrelease", "7.2.12"),
            DEFECT,
            cmdline(behind),
            WARNING,
        ),
        case(
            "rcu-offload",
            without_tickless("isolcpus=2-3"),
            WARNING,
            without_tickless("isolcpus=2-3 rcu_nocbs=2-3"),
            FINE,
        ),
        case(
            "offline",
            good().file(&format!("{CPU}/online"), "0-2"),
            NOTE,
            good(),
            None,
        ),
        case(
            "device-interrupts-leaving",
            good().file("/proc/irq/24/effective_affinity_list", "3"),
            WARNING,
            good().file("/proc/irq/24/effective_affinity_list", "1"),
            None,
        ),
        case("device-interrupts-allowed", half(), WARNING, good(), None),
        case("managed-interrupts", half(), DEFECT, good(), None),
        case(
            "fixed-interrupts",
            flags(held(good()), "IRQD_NO_BALANCING"),
            DEFECT,
            flags(held(good()), "IRQD_AFFINITY_MANAGED"),
            None,
        ),
        case(
            "irqbalance",
            half(),
            NOTE,
            half().file("/proc/700/comm", "irqbalanced"),
            None,
        ),
        case("vmstat", kernel("6.1.192"), WARNING, kernel("7.2.12"), FINE),
        case(
            "clocksource",
            good().file(clock, "hpet"),
            DEFECT,
            good(),
            FINE,
        ),
        case(
            "tsc-adjust-check",
            adjustable(good()),
            WARNING,
            adjustable(booted("tsc=reliable")),
            None,
        ),
        case("rt-throttling", Tree::of("cgroup-v1"), NOTE, good(), None),
        case("kernel-options", Tree::of("no-entry"), DEFECT, good(), FINE),
        case("architecture", Tree::of("arm64"), WARNING, good(), None),
        case("entry-code", Tree::of("arm64"), NOTE, good(), FINE),
        case(
            "bpf-jit",
            good().file("/proc/sys/net/core/bpf_jit_enable", "0"),
            WARNING,
            good(),
            FINE,
        ),
    ]);
    // Only where CPUs are named can those that are left be isolated too.
    let mut housekeeping = case("housekeeping", good(), DEFECT, good(), FINE);
    housekeeping.bad = good().file(&format!("{CPU}/isolated"), "0-3");
    housekeeping.cpus = Some("2");
    cases.push(housekeeping);
    cases
}

#[test]
fn each_finding_is_made_where_it_is_due_and_not_where_it_nearly_is() {
    for Case {
        id,
        bad,
        is,
        near,
        instead,
        cpus,
    } in cases()
    {
        let found = |tree| {
            let findings = findings(tree, cpus);
            let found = findings.iter().find(|finding| finding.id == id);
            found.map(|finding| finding.severity)
        };
        assert_ne!(is, instead, "{id}");
        assert_eq!(found(&bad), is, "{id}");
        assert_eq!(found(&near), instead, "{id}");
    }
}

/// What the documentation lists is what the program finds, and every one of it has a case.
#[test]
fn every_finding_that_is_documented_has_a_case() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
    let page = std::fs::read_to_string(page).unwrap();
    let documented: BTreeSet<_> = page
        .lines()
        .filter_map(|line| {
            let (area, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
            let is_area = Area::ALL.iter().any(|it| it.word() == area);
            is_area.then(|| rest.split('`').next())?
        })
        .collect();
    let cases: BTreeSet<_> = cases().iter().map(|case| case.id).collect();
    assert_eq!(documented, cases);
}
