//! `doctor` on a live kernel: it disturbs nobody, says what a trace says, and its remedies mend.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{
    accounts::Accounts,
    bench::{Bench, Group},
    guest::{Guest, Setting, Skip},
    load::Load,
    log::Probe,
    tracer::{Tracer, program},
    trigger::load,
    window::Window,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                "doctor_silent",
                "the doctor looks at everything, and nothing arrives at the watched CPUs",
            ),
            (
                "doctor_accounts",
                "neither the doctor nor a dry run moves the scheduler's accounts, of deadline bandwidth and others",
            ),
            (
                "doctor_probes",
                "what it says of the probes is what a trace says",
            ),
            (
                "doctor_remedy",
                "a setting that is wrong is found, and its own command mends it",
            ),
            (
                "doctor_mended",
                "settings that are wrong are found, and after the one script for all of them there is no defect, and no command left to run",
            ),
        ],
        run,
    }
}

#[derive(Debug, Deserialize)]
struct Report {
    watched: Vec<u32>,
    counts: BTreeMap<String, u64>,
    findings: Vec<Finding>,
    coverage: Coverage,
}

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    #[serde(default)]
    remedies: Vec<Remedy>,
}

#[derive(Debug, Deserialize)]
struct Remedy {
    kind: String,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Coverage {
    probes: Vec<Probe>,
}

/// A setting that every kernel has, and the finding about it.
const AFFINITY: &str = "/proc/irq/default_smp_affinity";
const FINDING: &str = "default-irq-affinity";

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let spinner = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    let guest = &bench.guest;
    let (window, (report, before, after)) = Window::around(guest, || {
        let before = Accounts::read(guest)?;
        let report = examine()?;
        Ok((report, before, Accounts::read(guest)?))
    })?;
    let accounts = accounts(guest, &before, &after);
    drop(spinner);
    let silent = || -> Result<String> {
        ensure!(
            report.watched == bench.guest.watched,
            "it looks at CPUs {:?}",
            report.watched
        );
        let (before, after) = &window.interrupts;
        for &cpu in &bench.guest.watched {
            let moved = before.changes(after, cpu);
            ensure!(moved.is_empty(), "CPU {cpu}: {moved:?} arrived");
        }
        Ok(format!("{} findings", report.findings.len()))
    };
    let silent = silent();
    bench.outcome("doctor_silent", silent)?;
    bench.outcome("doctor_accounts", accounts)?;

    let tracer = Tracer::start::<&str>(&[])?;
    let probes = tracer.header().probes.clone();
    bench.finish(tracer)?;
    let words = |probes: &[Probe]| -> Vec<_> {
        let word = |probe: &Probe| (probe.name.clone(), probe.state.clone(), probe.why.clone());
        probes.iter().map(word).collect()
    };
    let (seen, said) = (words(&probes), words(&report.coverage.probes));
    let same = if seen == said {
        Ok(format!("{} probes", seen.len()))
    } else {
        let other: Vec<_> = seen.iter().zip(&said).filter(|(a, b)| a != b).collect();
        Err(anyhow::anyhow!("a trace and the doctor differ: {other:?}"))
    };
    bench.outcome("doctor_probes", same)?;
    bench.outcome("doctor_remedy", remedy(bench))?;
    let outcome = mended(bench);
    bench.outcome("doctor_mended", outcome)
}

/// Compares the scheduler's accounts after the doctor, and after a dry run, which may interrupt.
fn accounts(guest: &Guest, before: &Accounts, after: &Accounts) -> Result<String> {
    if guest.version >= (6, 12) {
        before.require_bandwidth()?;
    }
    ensure!(before == after, "the doctor: {before:?}, then {after:?}");
    let dry_run = Command::new(program())
        .args(["record", "--dry-run"])
        .output()
        .context("isol-trace record --dry-run")?;
    ensure!(dry_run.status.success(), "a dry run: {}", dry_run.status);
    let last = Accounts::read(guest)?;
    let kept = before.bandwidth == last.bandwidth && before.fair_server == last.fair_server;
    ensure!(kept, "a dry run: {before:?}, then {last:?}");
    Ok(format!("bandwidth {:?}", before.bandwidth))
}

/// Runs the doctor; its exit code must fit what it found.
fn examine() -> Result<Report> {
    let output = Command::new(program())
        .args(["doctor", "--json"])
        .output()
        .context("isol-trace doctor")?;
    let report: Report = serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("no report; isol-trace said: {said}")
    })?;
    let defects = report.counts.get("defect").copied().unwrap_or(0);
    let expected = i32::from(defects > 0);
    ensure!(
        output.status.code() == Some(expected),
        "{} with {defects} defects",
        output.status
    );
    Ok(report)
}

/// How bad a finding is, and the command that mends it.
fn finding(id: &str) -> Result<(String, Option<String>)> {
    let report = examine()?;
    let finding = report.findings.into_iter().find(|one| one.id == id);
    let finding = finding.with_context(|| format!("no finding {id}"))?;
    let command = finding.remedies.into_iter().find(|one| one.kind == "run");
    Ok((finding.severity, command.map(|one| one.text)))
}

/// The command that mends what the doctor finds under a name.
pub fn command(id: &str) -> Result<String> {
    let (severity, command) = finding(id)?;
    command.with_context(|| format!("{id} is {severity}, and no command mends it"))
}

fn remedy(bench: &Bench) -> Result<String> {
    let all: u32 = bench
        .guest
        .watched
        .iter()
        .chain(&bench.guest.housekeeping)
        .map(|cpu| 1 << cpu)
        .sum();
    let setting = Setting::change(AFFINITY, &format!("{all:x}"))?;
    let (severity, command) = finding(FINDING)?;
    ensure!(severity == "warning", "all CPUs allowed is {severity}");
    let command = command.context("no command mends it")?;
    let status = Command::new("/bin/sh").args(["-c", &command]).status()?;
    ensure!(status.success(), "{command}: {status}");
    let (severity, _) = finding(FINDING)?;
    drop(setting);
    if severity != "fine" {
        bail!("after {command} it is {severity}");
    }
    Ok(command)
}

/// Spoils what a kernel of the day lets be spoiled, has the doctor's script mend it, and asks again.
fn mended(bench: &Bench) -> Result<String> {
    let all: Vec<u32> = [&bench.guest.watched[..], &bench.guest.housekeeping[..]].concat();
    let mask: u32 = all.iter().map(|cpu| 1 << cpu).sum();
    let mask = format!("{mask:x}");
    let wrong = [
        ("/proc/irq/default_smp_affinity", mask.as_str()),
        ("/sys/devices/virtual/workqueue/cpumask", &mask),
        ("/proc/sys/kernel/timer_migration", "0"),
        ("/proc/sys/kernel/watchdog", "1"),
        ("/proc/sys/kernel/watchdog_cpumask", "0-3"),
        ("/sys/kernel/mm/ksm/run", "1"),
        (
            "/sys/devices/system/machinecheck/machinecheck0/check_interval",
            "300",
        ),
    ];
    let mut settings = Vec::new();
    for (path, value) in wrong {
        match Setting::change(path, value) {
            Ok(setting) => settings.push(setting),
            Err(error) if error.is::<Skip>() => {}
            Err(error) => return Err(error),
        }
    }
    let before = examine()?;
    let defects = |report: &Report| report.counts.get("defect").copied().unwrap_or(0);
    ensure!(
        defects(&before) > 0,
        "nothing was found: {:?}",
        before.counts
    );
    let script = || -> Result<()> {
        // A script that cannot be run twice would leave a host half mended after a failure.
        let command = "isol-trace doctor --script | sh";
        let status = Command::new("/bin/sh").args(["-c", command]).status()?;
        ensure!(status.success(), "{command}: {status}");
        Ok(())
    };
    script()?;
    script()?;
    let after = examine()?;
    drop(settings);
    // A note disturbs nobody, and where the kernel may refuse the command, the finding names a boot argument as well.
    let is_left = |one: &&Finding| {
        let by_command_alone = one.remedies.iter().all(|remedy| remedy.kind == "run");
        let is_mendable = by_command_alone && !one.remedies.is_empty();
        one.severity == "defect" || (one.severity == "warning" && is_mendable)
    };
    let left: Vec<_> = after.findings.iter().filter(is_left).collect();
    ensure!(left.is_empty(), "after the script there is {left:?}");
    Ok(format!("{} defects before", defects(&before)))
}
