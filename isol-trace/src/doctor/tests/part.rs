//! Watching a part of the isolated CPUs: no remedy may cost the others their isolation.

use super::*;

/// The remedies of a finding about CPU 3 of a host that isolates 2-3.
fn remedies(tree: &Tree, id: &str) -> Vec<String> {
    let found = findings(tree, Some("3"));
    let found = found.iter().find(|it| it.id == id);
    let found = found.unwrap_or_else(|| panic!("no {id}"));
    let texts = found.remedies.iter().map(|it| it.text().to_owned());
    texts.collect()
}

#[test]
fn noise_goes_to_cpus_that_nothing_isolates() {
    let half = Tree::of("half").file("/proc/irq/25/effective_affinity_list", "3");
    for (id, texts) in [
        (
            "default-irq-affinity",
            vec!["irqaffinity=0-1", "echo 3 > /proc/irq/default_smp_affinity"],
        ),
        (
            "device-interrupts",
            vec![
                "for irq in 25; do echo 0-1 > /proc/irq/$irq/smp_affinity_list; done",
                "irqaffinity=0-1",
            ],
        ),
        (
            "unbound-workqueues",
            vec![
                "echo 3 > /sys/devices/virtual/workqueue/cpumask",
                "workqueue.unbound_cpus=0-1",
            ],
        ),
        (
            "lockup-watchdogs",
            vec!["sysctl -w kernel.watchdog_cpumask=0-1", "nowatchdog"],
        ),
    ] {
        assert_eq!(remedies(&half, id), texts, "{id}");
    }
}

#[test]
fn boot_lists_keep_what_is_isolated() {
    let half = Tree::of("half");
    let isolcpus = "isolcpus=domain,managed_irq,2-3";
    for id in ["scheduler-domains", "managed-interrupts"] {
        assert_eq!(remedies(&half, id)[0], isolcpus, "{id}");
    }
    let new = half.file("/proc/sys/kernel/osrelease", "7.2.12");
    assert_eq!(remedies(&new, "vmstat")[0], isolcpus);
    let old = new.file("/proc/sys/kernel/osrelease", "6.1.192");
    assert_eq!(
        remedies(&old, "vmstat"),
        ["sysctl -w vm.stat_interval=3600"]
    );
    assert_eq!(remedies(&old, "unbound-workqueues")[1], isolcpus);
    let lists = good()
        .file("/proc/cmdline", "isolcpus=2 nohz_full=2")
        .file(&format!("{CPU}/nohz_full"), "2")
        .file(&format!("{CPU}/isolated"), "2");
    assert_eq!(remedies(&lists, "nohz-full"), ["nohz_full=2-3"]);
    assert_eq!(remedies(&lists, "rcu-offload"), ["rcu_nocbs=2-3"]);
}

#[test]
fn somebody_takes_the_noise_where_every_cpu_is_isolated() {
    let all = Tree::of("half")
        .file(&format!("{CPU}/isolated"), "0-3")
        .file(&format!("{CPU}/nohz_full"), "0-3");
    assert_eq!(remedies(&all, "default-irq-affinity")[0], "irqaffinity=0-2");
}

#[test]
fn no_isolated_sibling_goes_offline() {
    let found = findings(&good(), Some("3"));
    let siblings = found.iter().find(|it| it.id == "smt-siblings").unwrap();
    // Nor is advised what was typed already.
    assert!(matches!(&siblings.remedies[..], [Remedy::Change(_)]));
}
