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
    let first = &finding(&Tree::of("half"), "smt-siblings").remedies[0];
    let whole = "nohz_full=1,3 isolcpus=domain,managed_irq,1,3";
    assert_eq!(first, &Remedy::Boot(whole.to_owned()));
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

/// Reading the setting rebuilds the scheduler's domains: what it says makes no difference.
#[test]
fn how_realtime_tasks_are_throttled_is_not_read() {
    for runtime in ["-1", "950000", "what nobody reads"] {
        let host = Tree::of("cgroup-v1").file("/proc/sys/kernel/sched_rt_runtime_us", runtime);
        let found = finding(&host, "rt-throttling");
        assert!(found.summary.starts_with("Not known: "), "{found:?}");
        let remedies: Vec<_> = found.remedies.iter().map(Remedy::text).collect();
        assert!(remedies[0].contains("`sysctl kernel.sched_rt_runtime_us`"));
    }
}

#[test]
fn realtime_tasks_are_throttled_by_one_or_the_other() {
    let old = || Tree::of("cgroup-v1");
    assert_eq!(severity(&old(), "rt-throttling"), NOTE);
    assert_eq!(severity(&old(), "fair-server"), None);
    assert_eq!(severity(&good(), "rt-throttling"), None);
    let groups = |release| {
        let config = format!("/boot/config-{release}");
        kernel(release).file(&config, "CONFIG_RT_GROUP_SCHED=y")
    };
    assert_eq!(severity(&groups("6.12.9"), "rt-throttling"), NOTE);
    assert_eq!(severity(&groups("7.2.12"), "rt-throttling"), NOTE);
    let hidden = good().without("/sys/kernel/debug");
    assert_eq!(severity(&hidden, "fair-server"), NOTE);
    // Nobody has seen the other kernels in between.
    let asked = |release| Tree::of("half").file("/proc/sys/kernel/osrelease", release);
    assert_eq!(severity(&asked("6.12.9"), "fair-server"), DEFECT);
    assert_eq!(severity(&asked("6.18.15"), "fair-server"), DEFECT);
    for release in ["6.13.0", "6.19.1", "7.1.1"] {
        let found = finding(&asked(release), "fair-server");
        assert_eq!(found.severity, Severity::Warning, "{release}");
        assert!(found.summary.contains("may set"), "{}", found.summary);
    }
    // A task that runs already keeps its tick there until another one has run.
    let asks_again = |release| {
        let command = &finding(&asked(release), "fair-server").remedies[0];
        command.text().contains("taskset -c $cpu true")
    };
    assert!(asks_again("6.18.15") && !asks_again("6.12.9"));
    let mount = &finding(&good().without("/sys/kernel/debug"), "fair-server").remedies[0];
    assert_eq!(mount.text(), "mount -t debugfs none /sys/kernel/debug");
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
    let remedies = finding(&hidden, "kernel-options").remedies;
    assert_eq!(remedies[0].text(), "modprobe configs");
    assert!(
        remedies[1]
            .text()
            .contains("/boot/config-6.12.117+deb13-amd64")
    );
    assert_eq!(severity(&hidden, "entry-code"), FINE, "x86 always has it");
    let arm = Tree::of("arm64");
    let summary = finding(&arm, "entry-code").summary;
    assert!(summary.contains("generic entry code"), "{summary}");
    assert!(finding(&arm, "entry-code").verify.is_some());
    assert_eq!(severity(&arm.without("/boot"), "entry-code"), NOTE);
}

/// What is missing for the tick, `nohz-full` says; the rest costs what each option would give.
#[test]
fn an_option_that_is_missing_is_told_once() {
    let id = "kernel-options";
    let rule = |missing: &[&str], tree: Tree| {
        let all = [
            "NO_HZ_FULL",
            "CONTEXT_TRACKING_USER",
            "RCU_NOCB_CPU",
            "CPU_ISOLATION",
        ];
        let there = all.iter().filter(|name| !missing.contains(name));
        let lines: Vec<_> = there.map(|name| format!("CONFIG_{name}=y")).collect();
        let config = format!("CONFIG_X=y\n{}", lines.join("\n"));
        let found = finding(&tree.file("/boot/config-6.12.117+deb13-amd64", &config), id);
        (found.severity, found.cost.and_then(|cost| cost.rule))
    };
    let tickful = || good().without(&format!("{CPU}/nohz_full"));
    let ticks = ["NO_HZ_FULL", "CONTEXT_TRACKING_USER"];
    assert_eq!(rule(&ticks, tickful()), (Severity::Note, None));
    assert_eq!(
        rule(&["NO_HZ_FULL", "RCU_NOCB_CPU"], tickful()),
        (Severity::Warning, Some("rcu-callbacks"))
    );
    assert_eq!(
        rule(&["NO_HZ_FULL", "CPU_ISOLATION"], tickful()),
        (Severity::Defect, Some("second-task"))
    );
    assert_eq!(
        rule(&["NO_HZ_FULL"], good()),
        (Severity::Defect, Some("residual-tick"))
    );
    assert_eq!(rule(&ticks[1..], good()), (Severity::Warning, None));
}

#[test]
fn timers_leave_only_cpus_that_the_kernel_asks_for_another() {
    let id = "timer-migration";
    let tickful = |release| kernel(release).file(&format!("{CPU}/nohz_full"), "(null)");
    assert_eq!(severity(&tickful("6.12.9"), id), WARNING);
    assert_eq!(
        severity(&tickful("7.2.12"), id),
        FINE,
        "it is out of the domains"
    );
    assert_eq!(severity(&kernel("6.12.9"), id), FINE);
    let remedy = |tree: &Tree| finding(tree, id).remedies.remove(0);
    let typed = remedy(&tickful("6.12.9"));
    assert_eq!(typed.text(), "Mend what nohz-full tells of.");
    let untyped = tickful("6.12.9").file("/proc/cmdline", "isolcpus=2-3");
    assert_eq!(remedy(&untyped).text(), "nohz_full=2-3");
}

#[test]
fn powersave_costs_where_it_is_the_lowest_frequency() {
    let id = "cpufreq-governor";
    let tree = |driver| {
        let folder = format!("{CPU}/cpu3/cpufreq");
        good()
            .file(&format!("{folder}/scaling_governor"), "powersave")
            .file(&format!("{folder}/scaling_driver"), driver)
    };
    let slow = finding(&tree("acpi-cpufreq"), id);
    assert_eq!(slow.severity, Severity::Warning);
    assert!(slow.summary.contains("keeps CPU 3 at"), "{}", slow.summary);
    assert_eq!(severity(&tree("intel_cpufreq"), id), WARNING);
    assert_eq!(severity(&tree("intel_pstate"), id), FINE);
    assert_eq!(severity(&tree("amd-pstate-epp"), id), FINE);
}

#[test]
fn a_clock_is_fine_where_it_is_known_to_be() {
    let id = "clocksource";
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    assert_eq!(with_file(path, "kvm-clock", id), FINE);
    assert_eq!(with_file(path, "jiffies", id), DEFECT);
    assert_eq!(with_file(path, "xen", id), WARNING);
    let arm = || Tree::of("arm64");
    assert_eq!(severity(&arm(), id), FINE);
    assert_eq!(severity(&arm().file(path, "tsc"), id), WARNING);
    let other = good().file("/proc/sys/kernel/arch", "s390x");
    assert_eq!(severity(&other.file(path, "tod"), id), NOTE);
}

#[test]
fn whoever_has_the_capability_may_lock_memory() {
    let id = "locked-memory";
    let limits = "Max locked memory         8388608              8388608              bytes";
    let root = || good().file("/proc/self/limits", limits);
    assert_eq!(severity(&root(), id), FINE);
    let user = root().file("/proc/self/status", "CapEff:\t0");
    let found = finding(&user, id);
    assert_eq!(found.severity, Severity::Note);
    assert!(found.remedies[0].text().contains("LimitMEMLOCK=infinity"));
}

#[test]
fn rights_are_granted_to_the_program_that_runs() {
    let tree = Tree::of("half");
    let link = tree.path("/proc/self/exe");
    std::os::unix::fs::symlink("/opt/isol trace", link).unwrap();
    let sentence = "Or let only a group run '/opt/isol trace', and give it \
                    cap_bpf,cap_perfmon,cap_syslog,cap_sys_ptrace+ep: docs/commands.md#privileges has the commands.";
    for id in ["probes", "kernel-symbols"] {
        let remedies = finding(&tree, id).remedies;
        assert!(
            remedies.iter().any(|it| it.text() == sentence),
            "{remedies:?}"
        );
    }
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
