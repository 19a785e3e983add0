//! Interrupts: which go where, and who moves them.

use super::*;

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
    let leaving = |release| kernel(release).file("/proc/irq/24/effective_affinity_list", "3");
    let delivered = |release| leaving(release).file("/proc/irq/24/smp_affinity_list", "0-3");
    // One that is not allowed there any more is on its way, whatever the kernel shows of it.
    let moved = leaving("6.1.192");
    assert_eq!(severity(&moved, "device-interrupts-leaving"), WARNING);
    assert_eq!(severity(&moved, "device-interrupts"), FINE);
    let (old, new) = (delivered("6.1.192"), delivered("6.12.117"));
    assert!(refused(&old, "device-interrupts"));
    assert!(!refused(&new, "device-interrupts"));
    // The command goes on where one is refused.
    let command = finding(&old, "device-interrupts").remedies.remove(0);
    assert!(command.text().contains(" || echo "));
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
fn interrupts_that_can_be_moved_are_named() {
    let tree = good()
        .file("/proc/irq/24/smp_affinity_list", "0-3")
        .file("/proc/irq/24/effective_affinity_list", "3");
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

/// A kernel that was built without the flags is not asked for them.
#[test]
fn flags_are_looked_for_where_the_kernel_has_them() {
    let id = "managed-interrupts";
    let config = "/boot/config-6.1.192";
    let old = || kernel("6.1.192").file("/proc/irq/24/effective_affinity_list", "3");
    let with = old().file(config, "CONFIG_GENERIC_IRQ_DEBUGFS=y");
    let mount = finding(&with, id).remedies.remove(0);
    assert_eq!(mount.text(), "mount -t debugfs none /sys/kernel/debug");
    let without = finding(&old().file(config, "CONFIG_SMP=y"), id);
    assert!(without.summary.contains("GENERIC_IRQ_DEBUGFS"));
    assert!(without.verify.is_none());
    assert!(matches!(&without.remedies[..], [Remedy::Change(_)]));
    let held = finding(&held(Tree::of("good")), id);
    assert!(
        held.summary
            .contains("built without CONFIG_GENERIC_IRQ_DEBUGFS")
    );
    assert!(!held.verify.unwrap().contains("debug/irq"));
}
