//! One kernel command line and one script for all that was found.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use super::*;
use crate::doctor::mending::{BootLine, Mending};

fn mending(tree: &Tree) -> Mending {
    let host = tree.host();
    let args = DoctorArgs::default();
    let plan = DoctorPlan::new(&args, &host).unwrap();
    let facts = Facts::read(&host, plan.watched, plan.present, plan.identity);
    Mending::of(&facts, &examine(&facts))
}

/// What a shell says to a script that it only reads.
fn read_by_a_shell(script: &str) -> String {
    let mut shell = Command::new("sh")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = shell.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_defect_and_warning_is_mended_once_or_left_to_a_person() {
    for name in HOSTS {
        let tree = Tree::of(name);
        let mending = mending(&tree);
        let findings = findings(&tree, None);
        for finding in findings {
            let is_bad = finding.severity <= Severity::Warning;
            let is_run = mending.run.contains(&finding.id);
            let is_by_hand = mending.by_hand.contains(&finding.id);
            let is_booted = is_bad && !is_run && !is_by_hand;
            assert!(!(is_run && is_by_hand), "{name}: {}", finding.id);
            if is_booted {
                let boot = mending.boot.as_ref().map(BootLine::text);
                let boot = boot.unwrap_or_default();
                assert!(
                    finding
                        .remedies
                        .iter()
                        .any(|it| matches!(it, Remedy::Boot(_))),
                    "{name}: {} is in nothing: {boot}",
                    finding.id
                );
            }
        }
        assert_eq!(read_by_a_shell(&mending.script), "", "{}", mending.script);
    }
}

#[test]
fn a_host_without_defects_has_nothing_to_mend() {
    let mending = mending(&good());
    assert_eq!(mending.boot, None);
    assert!(
        mending.run.is_empty() && mending.by_hand.is_empty(),
        "{mending:?}"
    );
    assert_ne!(read_by_a_shell("if"), "", "the shell reads it");
}

#[test]
fn arguments_do_not_contradict_each_other_or_what_is_there() {
    let line = |line: &str| {
        let tree = good()
            .file("/proc/cmdline", line)
            .file(&format!("{CPU}/nohz_full"), "3")
            .file(&format!("{CPU}/isolated"), "3");
        let host = tree.host();
        let args = DoctorArgs {
            cpus: Some("2-3".parse().unwrap()),
            ..DoctorArgs::default()
        };
        let plan = DoctorPlan::new(&args, &host).unwrap();
        let facts = Facts::read(&host, plan.watched, plan.present, plan.identity);
        let boot = Mending::of(&facts, &examine(&facts)).boot.unwrap();
        (boot.text(), boot.replaces.join(" "))
    };
    let whole = "nohz_full=2-3 isolcpus=domain,managed_irq,2-3";
    let pair = |add: &str, replaces: &str| (add.to_owned(), replaces.to_owned());
    assert_eq!(
        line("nohz_full=3 isolcpus=domain,managed_irq,3 tsc=nowatchdog"),
        pair(whole, "nohz_full=3 isolcpus=domain,managed_irq,3")
    );
    // The flag beside nohz_full= would cost one of both.
    assert_eq!(
        line("isolcpus=nohz,domain,3 tsc=nowatchdog"),
        pair(whole, "isolcpus=nohz,domain,3")
    );
    let (add, replaces) = line("nohz=off nohz_full=3 isolcpus=3 tsc=nowatchdog");
    assert!(
        add.contains("nohz=on") && replaces.contains("nohz=off"),
        "{add} for {replaces}"
    );
}

/// A name that somebody chose stands in a sentence of the report, and never in a command.
#[test]
fn a_name_does_not_become_a_command() {
    let tree = Tree::of("half");
    let host = tree.host();
    let plan = DoctorPlan::new(&DoctorArgs::default(), &host).unwrap();
    let facts = Facts::read(&host, plan.watched, plan.present, plan.identity);
    let summary = "Delivered: 25 (x\ntouch /tmp/owned; $(reboot)).";
    let named = |command: &str| {
        Finding::new(
            "device-interrupts",
            Area::Interrupts,
            Severity::Defect,
            summary,
        )
        .run(command)
    };
    let script = Mending::of(&facts, &[named("true"), named("true\nreboot")]).script;
    assert!(script.contains("touch"), "the name is shown: {script}");
    for line in script.lines().filter(|line| !line.starts_with('#')) {
        assert!(
            !line.contains("touch") && !line.contains("reboot"),
            "{line}"
        );
    }
    assert_eq!(read_by_a_shell(&script), "");
}

/// What user space moved and the kernel has not yet is no defect any more.
#[test]
fn an_idle_interrupt_that_was_moved_is_leaving() {
    let moved = |to: &str| {
        good()
            .file("/proc/irq/30/smp_affinity_list", to)
            .file("/proc/irq/30/effective_affinity_list", "2")
            .file("/sys/kernel/irq/30/actions", "eth0")
    };
    let id = "device-interrupts-leaving";
    assert_eq!(severity(&moved("2"), "device-interrupts"), DEFECT);
    assert_eq!(severity(&moved("2"), id), None);
    assert_eq!(severity(&moved("0-1"), "device-interrupts"), FINE);
    assert_eq!(severity(&moved("0-1"), id), WARNING);
}
