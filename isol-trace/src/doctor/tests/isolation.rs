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
    assert_eq!(severity(&booted("nohz=on"), "dynamic-ticks"), None);
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
fn interrupts_that_cannot_be_moved_are_managed() {
    use std::os::unix::fs::PermissionsExt as _;
    let id = "managed-interrupts";
    let fixed = |tree: Tree| {
        let tree = tree
            .file("/proc/irq/30/smp_affinity_list", "2")
            .file("/proc/irq/30/effective_affinity_list", "2")
            .file("/sys/kernel/irq/30/actions", "nvme0q3");
        let path = tree.host().path("/proc/irq/30/smp_affinity_list");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).unwrap();
        tree
    };
    assert_eq!(severity(&fixed(good()), id), NOTE);
    assert_eq!(severity(&fixed(good()), "device-interrupts"), FINE);
    let unsteered = good().file("/proc/cmdline", "nohz_full=2-3 isolcpus=domain,2-3");
    assert_eq!(severity(&fixed(unsteered), id), DEFECT);
    assert_eq!(severity(&good(), id), None);
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
