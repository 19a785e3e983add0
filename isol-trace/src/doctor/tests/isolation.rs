//! Isolation and interrupts: what the kernel was told, what it did, and who disturbs it.

use super::*;

#[test]
fn watched_cpus_belong_to_nohz_full() {
    let list = format!("{CPU}/nohz_full");
    assert_eq!(with_file(&list, "2", "nohz-full"), DEFECT);
    assert_eq!(with_file(&list, "2-3", "nohz-full"), FINE);
    let folder = good().folder(&list);
    // The file decides who is watched as well: only with --cpus does the report get this far.
    let host = folder.host();
    assert!(DoctorPlan::new(&DoctorArgs::default(), &host).is_err());
    let refused = good().file(&list, "(null)");
    let summary = finding(&refused, "nohz-full").summary;
    assert!(summary.contains("did not take it"), "{summary}");
    let unasked = refused.file("/proc/cmdline", "isolcpus=2-3");
    let summary = finding(&unasked, "nohz-full").summary;
    assert_eq!(summary, "Not in nohz_full=: CPUs 2-3.");
    assert_eq!(severity(&unasked, "rcu-offload"), WARNING);
    let offloaded = unasked.file("/proc/cmdline", "isolcpus=2-3 rcu_nocbs=1-3");
    assert_eq!(severity(&offloaded, "rcu-offload"), FINE);
}

#[test]
fn a_kernel_that_cannot_isolate_is_reported_for_the_cpus_that_it_was_told() {
    let tree = Tree::of("no-entry");
    let found = finding(&tree, "nohz-full");
    assert_eq!(found.severity, Severity::Defect);
    assert!(found.summary.contains("CPUs 2-3"), "{}", found.summary);
    assert!(found.summary.contains("CONFIG_NO_HZ_FULL"));
    assert_eq!(severity(&tree, "kernel-options"), DEFECT);
    assert_eq!(severity(&tree, "isolcpus-in-force"), DEFECT);
    let nothing = tree.file("/proc/cmdline", "ro quiet");
    assert!(DoctorPlan::new(&DoctorArgs::default(), &nothing.host()).is_err());
}

#[test]
fn the_tick_must_be_able_to_stop() {
    assert_eq!(severity(&booted("nohz=off"), "dynamic-ticks"), DEFECT);
    assert_eq!(severity(&booted("nohz=0"), "dynamic-ticks"), DEFECT);
    assert_eq!(severity(&booted("nohz=off nohz=on"), "dynamic-ticks"), None);
}

#[test]
fn domains_are_left_by_argument_or_by_partition() {
    let id = "scheduler-domains";
    let isolated = format!("{CPU}/isolated");
    let none = good().file(&isolated, "");
    assert_eq!(severity(&none, id), DEFECT);
    let partition = none.file("/sys/fs/cgroup/cpuset.cpus.isolated", "2-3");
    assert_eq!(severity(&partition, id), FINE);
    let runs = |tree: &Tree| {
        let remedies = finding(tree, id).remedies;
        remedies.iter().any(|it| matches!(it, Remedy::Run(_)))
    };
    assert!(runs(&good().file(&isolated, "")));
    // cgroup v1 has no partitions to make.
    let v1 = Tree::of("cgroup-v1");
    assert_eq!(severity(&v1, id), DEFECT);
    assert!(!runs(&v1));
}

#[test]
fn isolcpus_is_in_force_or_was_dropped() {
    let id = "isolcpus-in-force";
    assert_eq!(severity(&good(), id), FINE);
    assert_eq!(with_file(&format!("{CPU}/isolated"), "", id), DEFECT);
    // CPUs that this machine does not have are nobody's loss.
    let larger = good().file("/proc/cmdline", "nohz_full=2-3 isolcpus=2-7");
    assert_eq!(severity(&larger, id), FINE);
    let garbled = good().file("/proc/cmdline", "nohz_full=2-3 isolcpus=domain,x");
    assert_eq!(severity(&garbled, id), DEFECT);
    // Only the flag `domain` shows in the file.
    let managed = good().file("/proc/cmdline", "nohz_full=2-3 isolcpus=managed_irq,2-3");
    assert_eq!(severity(&managed, id), None);
}

#[test]
fn the_flag_nohz_is_fatal_from_7_2_on() {
    let id = "isolcpus-nohz-flag";
    let behind = "nohz_full=2-3 isolcpus=nohz,domain,2-3";
    let before = "isolcpus=nohz,domain,2-3 nohz_full=2-3";
    let with = |release, line| severity(&kernel(release).file("/proc/cmdline", line), id);
    assert_eq!(with("7.2.12", behind), DEFECT);
    assert_eq!(with("6.18.15", behind), WARNING);
    assert_eq!(with("7.2.12", before), WARNING);
    assert_eq!(with("7.2.12", "isolcpus=nohz,domain,2-3"), None);
    assert_eq!(severity(&kernel("7.2.12"), id), None);
}

#[test]
fn somebody_keeps_house() {
    let id = "housekeeping";
    assert_eq!(severity(&good(), id), FINE);
    let found = findings(&good().file(&format!("{CPU}/isolated"), "0-3"), Some("2"));
    let housekeeping = found.iter().find(|it| it.id == id).unwrap();
    assert_eq!(housekeeping.severity, Severity::Defect);
}

#[test]
fn offline_cpus_are_mentioned() {
    let offline = good().file(&format!("{CPU}/online"), "0-2");
    assert_eq!(severity(&offline, "offline"), NOTE);
    assert_eq!(severity(&good(), "offline"), None);
}

#[test]
fn interrupts_that_cannot_be_moved_are_managed_or_fixed() {
    let id = "managed-interrupts";
    assert_eq!(severity(&held(good()), id), NOTE);
    assert_eq!(severity(&held(good()), "device-interrupts"), FINE);
    let unsteered = || good().file("/proc/cmdline", "nohz_full=2-3 isolcpus=domain,2-3");
    assert_eq!(severity(&held(unsteered()), id), DEFECT);
    assert_eq!(severity(&good(), id), None);
    // Without the flags it is one or the other; with them it is known which.
    let summary = |tree: &Tree| finding(tree, id).summary;
    assert!(summary(&held(unsteered())).contains("or cannot move them"));
    let managed = flags(held(unsteered()), "IRQD_AFFINITY_MANAGED");
    assert!(!summary(&managed).contains("or cannot move them"));
    assert_eq!(severity(&managed, "fixed-interrupts"), None);
    let fixed = flags(held(unsteered()), "IRQD_NO_BALANCING");
    assert_eq!(severity(&fixed, "fixed-interrupts"), DEFECT);
    assert_eq!(severity(&fixed, id), None);
}

#[test]
fn an_older_kernel_does_not_show_what_it_manages() {
    let refused = |tree: &Tree, id| {
        let remedies = finding(tree, id).remedies;
        remedies
            .iter()
            .any(|it| it.text().contains("Input/output error"))
    };
    let delivered = |release| kernel(release).file("/proc/irq/24/effective_affinity_list", "3");
    let (old, new) = (delivered("6.1.192"), delivered("6.12.117"));
    assert!(refused(&old, "device-interrupts"));
    assert!(!refused(&new, "device-interrupts"));
    assert_eq!(severity(&old, "managed-interrupts"), NOTE);
    assert!(
        finding(&old, "managed-interrupts")
            .summary
            .starts_with("Not known")
    );
    assert_eq!(severity(&new, "managed-interrupts"), None);
    // The flags say it on any kernel.
    let told = flags(flags_of(old, 24, "IRQD_ACTIVATED"), "IRQD_ACTIVATED");
    let told = flags_of(told, 25, "IRQD_ACTIVATED");
    assert!(!refused(&told, "device-interrupts"));
    assert_eq!(severity(&told, "managed-interrupts"), None);
    let managed = flags_of(told, 24, "IRQD_AFFINITY_MANAGED");
    assert_eq!(severity(&managed, "device-interrupts"), FINE);
    assert_eq!(severity(&managed, "managed-interrupts"), NOTE);
}

#[test]
fn a_partition_that_is_not_in_force_is_told_with_its_reason() {
    let id = "cpuset-partitions";
    let group = |state| good().file("/sys/fs/cgroup/rt.slice/a b/cpuset.cpus.partition", state);
    let broken = group("isolated invalid (Parent is not a partition root)");
    let found = finding(&broken, id);
    assert_eq!(found.severity, Severity::Defect);
    assert!(
        found
            .summary
            .contains("/sys/fs/cgroup/rt.slice/a b (Parent is not a partition root)"),
        "{}",
        found.summary
    );
    assert_eq!(
        found.verify.as_deref(),
        Some("cat '/sys/fs/cgroup/rt.slice/a b/cpuset.cpus.partition'")
    );
    assert_eq!(severity(&group("root invalid"), id), WARNING);
    assert_eq!(severity(&group("isolated"), id), FINE);
    assert_eq!(severity(&group("member"), id), None);
}

#[test]
fn interrupts_that_can_be_moved_are_named() {
    let tree = good().file("/proc/irq/24/effective_affinity_list", "3");
    let found = finding(&tree, "device-interrupts");
    assert_eq!(
        found.summary,
        "Delivered to the watched CPUs: 24 (nvme0q0)."
    );
    assert_eq!(
        found.remedies[0].text(),
        "for irq in 24; do echo 0-1 > /proc/irq/$irq/smp_affinity_list; done"
    );
}

#[test]
fn irqbalance_knows_some_cpus_and_not_others() {
    let running = || good().file("/proc/700/comm", "irqbalance");
    assert_eq!(severity(&running(), "irqbalance"), NOTE);
    assert_eq!(severity(&good(), "irqbalance"), None);
    let found = findings(&running(), Some("1"));
    let irqbalance = found.iter().find(|it| it.id == "irqbalance").unwrap();
    assert_eq!(irqbalance.severity, Severity::Warning);
    // A list takes the place of what irqbalance leaves out by itself: it has to have it all.
    let list = irqbalance.remedies[1].text();
    assert!(list.contains("IRQBALANCE_BANNED_CPULIST=1-3 "), "{list}");
}

#[test]
fn the_argument_for_workqueues_is_one_that_the_kernel_has() {
    let boot = |release| {
        let tree = kernel(release).file("/sys/devices/virtual/workqueue/cpumask", "f");
        let remedies = finding(&tree, "unbound-workqueues").remedies;
        remedies.into_iter().find_map(|it| match it {
            Remedy::Boot(text) => Some(text),
            _ => None,
        })
    };
    assert_eq!(
        boot("6.12.117").as_deref(),
        Some("workqueue.unbound_cpus=0-1")
    );
    assert_eq!(
        boot("6.1.192").as_deref(),
        Some("isolcpus=domain,managed_irq,2-3")
    );
}

#[test]
fn unbound_work_spares_what_has_a_mask_of_its_own() {
    let tree = Tree::of("half");
    let summary = finding(&tree, "unbound-workqueues").summary;
    assert_eq!(
        summary,
        "Work that belongs to no CPU may run on CPUs 2-3, save that of writeback."
    );
}
