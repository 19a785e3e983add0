//! Where several rules take a breach, the more particular one stands first.
//!
//! Of a rule that takes nothing but what another one takes `reach` says so already: behind that
//! one it would take nothing. Here are those that have a part in common, and look at different
//! sides of a breach.

use std::collections::BTreeSet;

use super::{
    build::{call, fault},
    embedded, found,
};
use crate::event::model::{Activity, Breach, End};

/// The page that the kernel emulates.
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
const STACK: u64 = 0x7ffd_1234_5000;
const ANYWHERE: u64 = 0x7f00_0000_1000;

/// A flush that somebody asked for in this function, of a process that is not here any more.
fn stale(frame: &str) -> Breach {
    call()
        .did(Activity::Csd, "flush_tlb_func")
        .did(Activity::TlbFlush, "remote wrong CPU")
        .asked("flush_tlb_func", &["flush_tlb_mm_range", frame])
}

fn refused(access: &str, protection: bool, address: u64) -> Breach {
    fault(access, protection, address).did(Activity::Signal, "SIGSEGV")
}

/// A page that a handler on another CPU filled while the task slept.
fn filled() -> Breach {
    fault("write", false, ANYWHERE)
        .did(Activity::Vector, "call_function_single")
        .did(Activity::Csd, "sched_ttwu_pending")
        .by(&["try_to_wake_up", "userfaultfd_wake", "userfaultfd_ioctl"])
        .ended(End::Blocked)
}

/// A particular rule, one that would take the breach as well, and the breach.
fn overlaps() -> Vec<(&'static str, &'static str, Breach)> {
    vec![
        ("tlb-other-process", "tlb-compaction", stale("compact_zone")),
        (
            "tlb-other-process",
            "tlb-reclaim",
            stale("shrink_folio_list"),
        ),
        ("tlb-other-process", "tlb-writeback", stale("folio_mkclean")),
        ("tlb-other-process", "tlb-fork", stale("dup_mmap")),
        (
            "tlb-other-process",
            "tlb-mprotect",
            stale("change_protection"),
        ),
        ("tlb-other-process", "tlb-munmap", stale("tlb_finish_mmu")),
        ("tlb-other-process", "tlb-cow", stale("do_wp_page")),
        ("tlb-other-process", "tlb-shootdown", stale("exit_mmap")),
        ("vsyscall", "fault-signal", refused("fetch", true, VSYSCALL)),
        (
            "vsyscall",
            "fault-signal",
            fault("fetch", true, VSYSCALL)
                .ended(End::Exited)
                .within(false),
        ),
        ("vsyscall", "code-fault", fault("fetch", true, VSYSCALL)),
        ("vsyscall", "first-touch", fault("fetch", false, VSYSCALL)),
        ("userfaultfd", "fault-wait", filled()),
        (
            "fault-signal",
            "fault-wait",
            refused("read", false, ANYWHERE).ended(End::Blocked),
        ),
        (
            "fault-signal",
            "stack-growth",
            refused("write", false, STACK),
        ),
        (
            "fault-signal",
            "copy-on-write",
            refused("write", true, ANYWHERE),
        ),
        (
            "fault-signal",
            "code-fault",
            refused("fetch", false, ANYWHERE),
        ),
        (
            "fault-signal",
            "first-touch",
            refused("read", false, ANYWHERE),
        ),
    ]
}

/// The rules that take a breach, wherever they stand.
fn takers(breach: &Breach) -> BTreeSet<&'static str> {
    let rules = embedded();
    let conditions = rules.conditions.iter();
    let met = conditions
        .filter(|(_, when)| when.is_of(breach.cause.cause()) && when.is_met(breach, false));
    met.map(|(place, _)| rules.all()[*place].id.as_str())
        .collect()
}

#[test]
fn the_more_particular_rule_takes_what_both_would() {
    for (particular, general, breach) in overlaps() {
        let takers = takers(&breach);
        assert!(takers.contains(general), "{general}: {breach:?}");
        assert_eq!(found(&breach), Some(particular), "{takers:?}");
    }
}
