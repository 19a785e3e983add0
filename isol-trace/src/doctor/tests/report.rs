//! The report as a whole.

use super::*;

#[test]
fn a_well_isolated_host_has_nothing_to_mend() {
    for host in ["good", "arm64"] {
        let bad: Vec<_> = findings(&Tree::of(host), None)
            .into_iter()
            // Nobody can mend the machine.
            .filter(|finding| finding.severity < Severity::Note && finding.id != "architecture")
            .collect();
        assert_eq!(bad, [], "{host}");
    }
}

#[test]
fn what_is_bad_says_what_it_costs_and_what_mends_it() {
    for host in HOSTS {
        for finding in findings(&Tree::of(host), None) {
            let id = finding.id;
            assert!(!finding.summary.is_empty(), "{id}");
            if finding.severity < Severity::Note {
                assert!(finding.cost.is_some(), "{id} costs nothing");
                assert!(!finding.remedies.is_empty(), "{id} has no remedy");
                assert!(finding.verify.is_some(), "{id} cannot be verified");
            }
        }
    }
}

#[test]
fn findings_are_sorted_and_each_is_made_once() {
    let all = findings(&Tree::of("half"), None);
    let keys: Vec<_> = all.iter().map(|it| (it.severity, it.area)).collect();
    assert!(keys.is_sorted());
    let mut ids: Vec<_> = all.iter().map(|it| it.id).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for &area in Area::ALL {
        assert!(all.iter().any(|it| it.area == area), "nothing of {area:?}");
    }
}

#[test]
fn a_half_isolated_host_is_told_all_of_it() {
    let half = Tree::of("half");
    for id in [
        "scheduler-domains",
        "device-interrupts",
        "unbound-workqueues",
        "lockup-watchdogs",
        "clocksource-watchdog",
        "fair-server",
    ] {
        assert_eq!(severity(&half, id), DEFECT, "{id}");
        assert_eq!(severity(&good(), id), FINE, "{id}");
    }
    for id in [
        "default-irq-affinity",
        "timer-migration",
        "machine-check-poll",
        "transparent-huge-pages",
        "ksm",
        "numa-balancing",
        "smt-siblings",
        "cpufreq-governor",
        "probes",
    ] {
        assert_eq!(severity(&half, id), WARNING, "{id}");
        assert_eq!(severity(&good(), id), FINE, "{id}");
    }
    for id in ["kernel-symbols", "locked-memory", "idle-states"] {
        assert_eq!(severity(&half, id), NOTE, "{id}");
        assert_eq!(severity(&good(), id), FINE, "{id}");
    }
    assert_eq!(severity(&half, "device-interrupts-allowed"), WARNING);
    assert_eq!(severity(&good(), "device-interrupts-allowed"), None);
}

#[test]
fn what_cannot_be_read_is_a_note_and_never_fine() {
    for (path, id) in [
        ("/proc/irq/default_smp_affinity", "default-irq-affinity"),
        (
            "/sys/devices/virtual/workqueue/cpumask",
            "unbound-workqueues",
        ),
        ("/proc/sys/kernel/timer_migration", "timer-migration"),
        (
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "transparent-huge-pages",
        ),
        ("/sys/kernel/mm/ksm/run", "ksm"),
        ("/proc/sys/kernel/numa_balancing", "numa-balancing"),
        (
            "/sys/kernel/debug/sched/fair_server/cpu2/runtime",
            "fair-server",
        ),
        ("/proc/sys/kernel/kptr_restrict", "kernel-symbols"),
        ("/proc/sys/net/core/bpf_jit_enable", "bpf-jit"),
        ("/proc/self/limits", "locked-memory"),
        ("/proc/cmdline", "rcu-offload"),
        ("/boot/config-6.12.117+deb13-amd64", "kernel-options"),
        (
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            "clocksource",
        ),
    ] {
        let found = finding(&good().folder(path), id);
        assert_eq!(found.severity, Severity::Note, "{id}");
        assert!(
            found.summary.starts_with("Not known: "),
            "{}",
            found.summary
        );
        assert!(!found.remedies.is_empty(), "{id} says not how to know");
    }
}

#[test]
fn every_finding_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
    let page = std::fs::read_to_string(page).unwrap();
    for host in HOSTS {
        for finding in findings(&Tree::of(host), None) {
            let row = format!("| {} | `{}` |", finding.area.word(), finding.id);
            assert!(page.contains(&row), "docs/doctor.md has no row {row}");
        }
    }
}

#[test]
fn the_text_is_for_a_terminal_of_80_columns() {
    use unicode_width::UnicodeWidthStr as _;
    let tree = Tree::of("half");
    let host = tree.host();
    let plan = DoctorPlan::new(&DoctorArgs::default(), &host).unwrap();
    let facts = Facts::read(&host, plan.watched, plan.present, plan.identity);
    let report = Report::new(facts, Coverage::unknown("there is no privilege".to_owned()));
    for line in text::text(&report, text::Page::PLAIN).lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        let is_command = ["boot", "run", "verify"].contains(&word);
        assert!(is_command || line.width() <= 80, "{line}");
    }
}

#[test]
fn what_a_trace_would_see_is_told_in_the_words_of_the_dry_run() {
    use crate::event::{
        ids::Cpu,
        model::{Detection, ProbeState, ProbeVerdict},
    };
    let verdict = |name: &'static str, state| ProbeVerdict {
        name: name.into(),
        state,
    };
    let coverage = Coverage {
        detection: vec![
            (Cpu(2), Detection::ContextTracking),
            (Cpu(3), Detection::Vectors),
        ],
        blind_spots: vec!["the end of page faults"],
        probes: vec![
            verdict("user_exit", ProbeState::Attached),
            verdict(
                "csd_queue_cpu",
                ProbeState::Absent {
                    why: "this kernel has no tracepoint csd_queue_cpu".to_owned(),
                },
            ),
        ],
        unknown: None,
    };
    let tree = Tree::of("half");
    let host = tree.host();
    let plan = DoctorPlan::new(&DoctorArgs::default(), &host).unwrap();
    let facts = Facts::read(&host, plan.watched, plan.present, plan.identity);
    let text = text::text(&Report::new(facts, coverage), text::Page::PLAIN);
    let (_, end) = text.split_once("What a trace would see\n\n").unwrap();
    let (end, _) = end.split_once("\nTo mend it all").unwrap();
    insta::assert_snapshot!(end, @r"
      cpu 2: detection by context-tracking
      cpu 3: detection by vectors
      not seen: the end of page faults
      1 of 2 probes would attach, once what keeps them out is mended
      csd_queue_cpu  absent    this kernel has no tracepoint csd_queue_cpu
      This is what the kernel's types say. `isol-trace record --dry-run` proves it:
      it attaches every probe once, which interrupts every CPU.
    ");
}
