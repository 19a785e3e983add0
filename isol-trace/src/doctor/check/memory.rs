//! What memory management does to tasks that did not ask for it.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Memory, Severity},
        rule,
    },
    host::reading::Reading,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::Where(huge_pages),
    Check::Where(ksm),
    Check::Where(numa_balancing),
];

/// khugepaged leaves the tasks' memory alone.
fn huge_pages(facts: &Facts) -> Option<Finding> {
    let id = "transparent-huge-pages";
    let when = match &facts.memory.huge_pages {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Memory, why)),
        when => when.known()?.as_str(),
    };
    let severity = match when {
        "never" => {
            let summary = "Transparent huge pages are off.";
            return Some(Finding::new(id, Memory, Severity::Fine, summary));
        }
        "madvise" => Severity::Note,
        _ => Severity::Warning,
    };
    let eager = if facts.memory.khugepaged_defrag.known() == Some(&1) {
        ", and moves other pages to make room"
    } else {
        ""
    };
    let whose = match when {
        "madvise" => "memory that programs ask it for",
        _ => "the memory of every program",
    };
    Some(
        Finding::new(
            id,
            Memory,
            severity,
            format!("khugepaged may put {whose} together into huge pages{eager}."),
        )
        .breach(rule::THP_COLLAPSE,
            "it interrupts every CPU that the program runs on, to flush the TLB there, and before each \
             scan, every ten seconds, every CPU that holds pages in its LRU batches (lru-drain)",
        )
        .run("echo never > /sys/kernel/mm/transparent_hugepage/enabled")
        .boot("transparent_hugepage=never")
        .change("Or let the task call prctl(PR_SET_THP_DISABLE), and use hugetlbfs where it needs large pages.")
        .verify("cat /sys/kernel/mm/transparent_hugepage/enabled"),
    )
}

/// Nobody merges pages.
fn ksm(facts: &Facts) -> Option<Finding> {
    let id = "ksm";
    match &facts.memory.ksm {
        Reading::Unreadable(why) => Some(Finding::unreadable(id, Memory, why)),
        Reading::Absent => None,
        Reading::Known(1) => Some(
            Finding::new(
                id,
                Memory,
                Severity::Warning,
                "KSM looks for equal pages and merges them.",
            )
            .breach(rule::KSM,
                "each merge interrupts the CPUs that the program runs on, and the next write to the page faults",
            )
            .run("echo 2 > /sys/kernel/mm/ksm/run")
            .verify("cat /sys/kernel/mm/ksm/run"),
        ),
        Reading::Known(_) => Some(Finding::new(
            id,
            Memory,
            Severity::Fine,
            "KSM merges no pages.",
        )),
    }
}

/// Nobody samples accesses by taking pages away.
fn numa_balancing(facts: &Facts) -> Option<Finding> {
    let id = "numa-balancing";
    match &facts.memory.numa_balancing {
        Reading::Unreadable(why) => Some(Finding::unreadable(id, Memory, why)),
        Reading::Absent => None,
        Reading::Known(0) => Some(Finding::new(
            id,
            Memory,
            Severity::Fine,
            "NUMA balancing is off.",
        )),
        Reading::Known(_) => Some(
            Finding::new(
                id,
                Memory,
                Severity::Warning,
                "NUMA balancing unmaps pages of every task to see who uses them.",
            )
            .breach(
                rule::NUMA_BALANCING,
                "the task faults on its own memory, and is interrupted to flush the TLB",
            )
            .run("sysctl -w kernel.numa_balancing=0")
            .boot("numa_balancing=disable")
            .verify("sysctl kernel.numa_balancing"),
        ),
    }
}
