//! Each check against a host that it must speak up about, and one where it must not.

use super::*;
use crate::{
    cli::DoctorArgs,
    doctor::finding::{Area, Remedy},
    host::tests::Tree,
    plan::doctor::DoctorPlan,
};

mod each;
mod interrupts;
mod isolation;
mod mending;
mod part;
mod report;
mod settings;

/// Every recorded host of the doctor.
const HOSTS: [&str; 5] = ["good", "half", "cgroup-v1", "arm64", "no-entry"];

const CPU: &str = "/sys/devices/system/cpu";

fn good() -> Tree {
    Tree::of("good")
}

/// The well-isolated host, booted with this added.
fn booted(more: &str) -> Tree {
    let line = "nohz_full=2-3 isolcpus=domain,managed_irq,2-3 tsc=nowatchdog";
    good().file("/proc/cmdline", &format!("{line} {more}"))
}

/// The well-isolated host with another kernel.
fn kernel(release: &str) -> Tree {
    good().file("/proc/sys/kernel/osrelease", release)
}

/// The host with an interrupt on CPU 2 whose file cannot be written to.
fn held(tree: Tree) -> Tree {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = tree
        .file("/proc/irq/30/smp_affinity_list", "2")
        .file("/proc/irq/30/effective_affinity_list", "2")
        .file("/sys/kernel/irq/30/actions", "nvme0q3");
    let path = tree.host().path("/proc/irq/30/smp_affinity_list");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).unwrap();
    tree
}

/// What debugfs says of an interrupt.
fn flags_of(tree: Tree, number: u32, flag: &str) -> Tree {
    let path = format!("/sys/kernel/debug/irq/irqs/{number}");
    tree.file(&path, &format!("dstate:   0x1\n            {flag}"))
}

fn flags(tree: Tree, flag: &str) -> Tree {
    flags_of(tree, 30, flag)
}

fn findings(tree: &Tree, cpus: Option<&str>) -> Vec<Finding> {
    let host = tree.host();
    let args = DoctorArgs {
        cpus: cpus.map(|cpus| cpus.parse().unwrap()),
        json: false,
        script: false,
    };
    let plan = DoctorPlan::new(&args, &host).unwrap();
    examine(&Facts::read(
        &host,
        plan.watched,
        plan.present,
        plan.identity,
    ))
}

fn severity(tree: &Tree, id: &str) -> Option<Severity> {
    let findings = findings(tree, None);
    let mut found = findings.iter().filter(|finding| finding.id == id);
    let severity = found.next().map(|finding| finding.severity);
    assert_eq!(found.next(), None, "{id} is found twice");
    severity
}

fn finding(tree: &Tree, id: &str) -> Finding {
    findings(tree, None)
        .into_iter()
        .find(|finding| finding.id == id)
        .unwrap_or_else(|| panic!("no {id}"))
}

/// What a file of the host makes of a finding.
fn with_file(path: &str, text: &str, id: &str) -> Option<Severity> {
    severity(&good().file(path, text), id)
}

const DEFECT: Option<Severity> = Some(Severity::Defect);
const WARNING: Option<Severity> = Some(Severity::Warning);
const NOTE: Option<Severity> = Some(Severity::Note);
const FINE: Option<Severity> = Some(Severity::Fine);
