//! Isolation: what the kernel was told, and what it did.

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
    let says = |tree: &Tree, how: &str| {
        let summary = finding(tree, id).summary;
        assert!(summary.ends_with(&format!(", {how}.")), "{summary}");
    };
    says(&partition, "by isolated cpuset partitions");
    // The root's file has the CPUs of the argument, too, from 6.12 on.
    let argument = good().file("/sys/fs/cgroup/cpuset.cpus.isolated", "2-3");
    says(&argument, "by isolcpus=");
    let half = argument.file("/proc/cmdline", "nohz_full=2-3 isolcpus=2");
    says(&half, "by isolcpus= and isolated cpuset partitions");
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

/// Each argument that is dropped costs what it alone would have done.
#[test]
fn the_argument_that_stands_behind_is_dropped() {
    let id = "isolcpus-nohz-flag";
    let booted = |line: &str| kernel("7.2.12").file("/proc/cmdline", line);
    let behind = finding(&booted("nohz_full=2-3 isolcpus=nohz,domain,2-3"), id);
    assert!(behind.summary.contains("drops isolcpus="));
    assert_eq!(behind.cost.unwrap().rule, Some("isolcpus-dropped"));
    // The flag isolates CPU 2 from the tick, and nobody CPU 3.
    let narrow =
        booted("isolcpus=nohz,domain,2 nohz_full=2-3").file(&format!("{CPU}/isolated"), "2");
    let narrow = narrow.file(&format!("{CPU}/nohz_full"), "2");
    let found = findings(&narrow, Some("2-3"));
    let flag = found.iter().find(|it| it.id == id).unwrap();
    assert_eq!(flag.severity, Severity::Defect);
    assert!(flag.summary.contains("drops nohz_full=") && flag.summary.ends_with("CPU 3."));
    assert_eq!(flag.cost.unwrap().rule, Some("residual-tick"));
    // What was typed already is not what mends it.
    let tick = found.iter().find(|it| it.id == "nohz-full").unwrap();
    assert!(tick.summary.contains("drops whichever"), "{}", tick.summary);
    for it in [flag, tick] {
        assert_eq!(
            it.remedies,
            [Remedy::Boot(
                "nohz_full=2-3 isolcpus=domain,managed_irq,2-3".to_owned()
            )]
        );
    }
}

#[test]
fn an_argument_that_was_typed_is_not_advised_again() {
    let refused = good().file(&format!("{CPU}/nohz_full"), "(null)");
    let remedies = finding(&refused, "nohz-full").remedies;
    assert!(matches!(&remedies[..], [Remedy::Change(_)]), "{remedies:?}");
}

/// Before 6.7 the root has no list of the CPUs of all partitions.
#[test]
fn partitions_of_older_kernels_are_known_by_their_groups() {
    let id = "scheduler-domains";
    let group = "/sys/fs/cgroup/rt";
    let tree = |state| {
        kernel("6.1.192")
            .without("/sys/fs/cgroup/cpuset.cpus.isolated")
            .file(&format!("{CPU}/isolated"), "")
            .file(&format!("{group}/cpuset.cpus.partition"), state)
            .file(&format!("{group}/cpuset.cpus.effective"), "2-3")
    };
    assert_eq!(severity(&tree("isolated"), id), FINE);
    assert_eq!(severity(&tree("isolated invalid"), id), DEFECT);
    assert_eq!(severity(&tree("root"), id), DEFECT);
    let unread = tree("isolated").folder(&format!("{group}/cpuset.cpus.effective"));
    let found = finding(&unread, id);
    assert_eq!(found.severity, Severity::Note);
    assert!(
        found.summary.starts_with("Not known: "),
        "{}",
        found.summary
    );
}

#[test]
fn a_partition_is_verified_where_it_shows() {
    let found = finding(
        &good().file(&format!("{CPU}/isolated"), ""),
        "scheduler-domains",
    );
    let run = found
        .remedies
        .iter()
        .find(|it| matches!(it, Remedy::Run(_)));
    assert!(
        run.unwrap()
            .text()
            .ends_with("; cat isolated/cpuset.cpus.partition")
    );
    let verify = found.verify.unwrap();
    for file in ["cpuset.cpus.isolated", "isolated/cpuset.cpus.partition"] {
        assert!(
            verify.contains(&format!("/sys/fs/cgroup/{file}")),
            "{verify}"
        );
    }
}

#[test]
fn callbacks_are_not_offloaded_by_a_kernel_that_cannot() {
    let line = "isolcpus=2-3 rcu_nocbs=2-3";
    let tree = good()
        .file("/proc/cmdline", line)
        .file(&format!("{CPU}/nohz_full"), "(null)")
        .file(
            "/boot/config-6.12.117+deb13-amd64",
            "CONFIG_CPU_ISOLATION=y",
        );
    assert_eq!(severity(&tree, "rcu-offload"), WARNING);
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
