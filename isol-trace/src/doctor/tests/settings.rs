//! Settings: work, clock, memory, scheduler, power, kernel, isol-trace itself.

use super::*;

#[test]
fn watchdogs_that_are_off_or_elsewhere_are_fine() {
    let id = "lockup-watchdogs";
    let on = || good().file("/proc/sys/kernel/nmi_watchdog", "1");
    assert_eq!(severity(&on(), id), FINE, "it looks at CPUs 0-1");
    let mask = "/proc/sys/kernel/watchdog_cpumask";
    assert_eq!(severity(&on().file(mask, "0-2"), id), DEFECT);
    assert_eq!(with_file(mask, "0-3", id), FINE, "both are off");
}

#[test]
fn who_is_spared_by_vmstat_depends_on_the_kernel() {
    let id = "vmstat";
    let isolated = format!("{CPU}/isolated");
    let tickless_only = |release| severity(&kernel(release).file(&isolated, ""), id);
    assert_eq!(tickless_only("6.12.117"), FINE);
    assert_eq!(tickless_only("7.2.12"), WARNING);
    assert_eq!(severity(&kernel("7.2.12"), id), FINE);
    assert_eq!(severity(&kernel("6.1.192"), id), WARNING);
    let rare = kernel("6.1.192").file("/proc/sys/vm/stat_interval", "3600");
    assert_eq!(severity(&rare, id), NOTE);
}

#[test]
fn the_clock_is_checked_unless_it_is_trusted() {
    let id = "clocksource-watchdog";
    let line = "nohz_full=2-3 isolcpus=domain,managed_irq,2-3";
    let told = |more| good().file("/proc/cmdline", &format!("{line} {more}"));
    assert_eq!(severity(&told(""), id), DEFECT);
    assert_eq!(severity(&told("tsc=reliable"), id), FINE);
    assert_eq!(severity(&told("tsc=nowatchdog"), id), FINE);
    let modalias = format!("{CPU}/modalias");
    let steady = "cpu:type:x86,ven0000fam0006mod0055:feature:,0068,0078,0121";
    assert_eq!(severity(&told("").file(&modalias, steady), id), FINE);
    assert_eq!(severity(&told("").without(&modalias), id), WARNING);
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let alone = told("").file(&format!("{folder}/available_clocksource"), "tsc");
    assert_eq!(
        severity(&alone, id),
        FINE,
        "there is nothing to check it with"
    );
    assert_eq!(severity(&Tree::of("arm64"), id), None);
    let id = "tsc-adjust-check";
    assert_eq!(severity(&told("").file(&modalias, steady), id), WARNING);
    let reliable = told("tsc=reliable").file(&modalias, steady);
    assert_eq!(severity(&reliable, id), None);
    assert_eq!(
        severity(&told(""), id),
        None,
        "the CPU has no such register"
    );
    let hpet = told("").file(&format!("{folder}/current_clocksource"), "hpet");
    assert_eq!(severity(&hpet, "clocksource"), DEFECT);
    assert_eq!(severity(&good(), "clocksource"), FINE);
}

#[test]
fn siblings_go_offline_only_where_others_keep_house() {
    let siblings = |cpu: u32| format!("{CPU}/cpu{cpu}/topology/thread_siblings_list");
    let runs = |tree: &Tree| {
        let remedies = finding(tree, "smt-siblings").remedies;
        remedies.iter().any(|it| matches!(it, Remedy::Run(_)))
    };
    assert!(!runs(&Tree::of("half")), "nobody would be left");
    assert!(runs(&good().file(&siblings(3), "1,3")), "CPU 0 is left");
    assert!(
        !runs(&good().file(&siblings(3), "0,3")),
        "CPU 0 has to stay"
    );
}

#[test]
fn the_watchdogs_cost_what_they_do() {
    let rule = |nmi, soft| {
        let tree = good()
            .file("/proc/sys/kernel/watchdog_cpumask", "0-3")
            .file("/proc/sys/kernel/nmi_watchdog", nmi)
            .file("/proc/sys/kernel/soft_watchdog", soft);
        finding(&tree, "lockup-watchdogs").cost?.rule
    };
    assert_eq!(rule("1", "0"), Some("nmi-perf-counter"));
    assert_eq!(rule("1", "1"), Some("nmi-perf-counter"));
    assert_eq!(rule("0", "1"), Some("soft-lockup-watchdog"));
}

#[test]
fn huge_pages_on_request_are_a_note() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let id = "transparent-huge-pages";
    assert_eq!(with_file(path, "always [madvise] never", id), NOTE);
    assert_eq!(with_file(path, "[always] madvise never", id), WARNING);
}

#[test]
fn realtime_tasks_are_throttled_by_one_or_the_other() {
    let old = || Tree::of("cgroup-v1");
    assert_eq!(severity(&old(), "rt-throttling"), WARNING);
    let free = old().file("/proc/sys/kernel/sched_rt_runtime_us", "-1");
    assert_eq!(severity(&free, "rt-throttling"), FINE);
    assert_eq!(severity(&old(), "fair-server"), None);
    assert_eq!(severity(&good(), "rt-throttling"), None);
    let hidden = good().without("/sys/kernel/debug");
    assert_eq!(severity(&hidden, "fair-server"), NOTE);
    let newer = kernel("7.2.12").without("/sys/kernel/debug");
    assert_eq!(severity(&newer, "fair-server"), FINE);
}

#[test]
fn the_kernel_was_built_for_isolation() {
    assert_eq!(severity(&good(), "kernel-options"), FINE);
    // An older name of an option is the same option.
    let old = Tree::of("cgroup-v1");
    assert_eq!(severity(&old, "kernel-options"), FINE);
    assert_eq!(severity(&old, "entry-code"), FINE);
    let hidden = good().without("/boot");
    assert_eq!(severity(&hidden, "kernel-options"), NOTE);
    assert_eq!(severity(&hidden, "entry-code"), FINE, "x86 always has it");
    let arm = Tree::of("arm64");
    let summary = finding(&arm, "entry-code").summary;
    assert!(summary.contains("generic entry code"), "{summary}");
    assert_eq!(severity(&arm.without("/boot"), "entry-code"), NOTE);
}

#[test]
fn isol_trace_needs_rights_and_names() {
    let unprivileged = || good().file("/proc/self/status", "CapEff:\t0000000000000000");
    assert_eq!(severity(&unprivileged(), "probes"), WARNING);
    // Without the capability the kernel asks kernel.perf_event_paranoid as well.
    assert_eq!(severity(&unprivileged(), "kernel-symbols"), NOTE);
    let restrict = "/proc/sys/kernel/kptr_restrict";
    assert_eq!(
        severity(&unprivileged().file(restrict, "1"), "kernel-symbols"),
        NOTE
    );
    assert_eq!(with_file(restrict, "1", "kernel-symbols"), FINE);
    assert_eq!(with_file(restrict, "2", "kernel-symbols"), NOTE);
    let no_types = good().without("/sys/kernel/btf");
    let found = finding(&no_types, "probes");
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.summary.contains("BTF") && !found.summary.contains("boot one"));
    assert_eq!(found.remedies.len(), 1);
    let jit = "/proc/sys/net/core/bpf_jit_enable";
    assert_eq!(with_file(jit, "0", "bpf-jit"), WARNING);
    assert_eq!(with_file(jit, "1", "bpf-jit"), FINE);
}
