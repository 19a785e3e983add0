//! Remedies are tried: what a log prints is run as it is printed, and the breach does not come again.
//!
//! All causes are made in one recording. Then the commands of the log's records `remedy` are given to a
//! shell, each cause is made again, and a second recording shows none of them.

mod causes;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use self::causes::CAUSES;
use super::{
    bench::{Bench, Group},
    guest::{Guest, skip},
    load::Load,
    log::{self, Log},
    provoke::load,
    tracer::{Ended, Tracer},
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: CAUSES
            .iter()
            .map(|cause| (cause.test, cause.about))
            .collect(),
        run,
    }
}

/// A cause that a guest can make, and that a command ends.
struct Cause {
    /// The rule of its breaches.
    rule: &'static str,
    test: &'static str,
    about: &'static str,
    /// Makes it possible, and keeps it so while the answer lives.
    prepare: fn(&Guest) -> Result<Kept>,
}

/// What has to happen again and again, or nothing; what it needs lives with it.
type Kept = Box<dyn FnMut() -> Result<()>>;

/// How long causes are made, in so many steps.
const STEPS: u32 = 60;
const STEP: Duration = Duration::from_millis(200);

/// What a log says of a remedy.
#[derive(Debug, Deserialize)]
struct Remedy {
    id: String,
    run: Vec<String>,
}

fn run(bench: &mut Bench) -> Result<()> {
    let guest = bench.guest.clone();
    let Some(second) = guest.second() else {
        return skip("there is one watched CPU only");
    };
    let loads = [
        Load::start(&guest, load::SPIN, guest.cpu(), 0)?,
        Load::start(&guest, load::SPIN, second, 0)?,
    ];
    let mut skipped = BTreeMap::new();
    let mut kept = Vec::new();
    for cause in CAUSES.iter().filter(|cause| bench.wants(cause.test)) {
        match (cause.prepare)(&guest) {
            Ok(act) => kept.push((cause, act)),
            Err(error) => {
                skipped.insert(cause.test, error);
            }
        }
    }
    let (before, remedies) = record(bench, &mut kept)?;
    let shown = rules(&before);
    let commands = commands(&remedies, &kept);
    let mut failed = BTreeMap::new();
    for (rule, command) in &commands {
        if let Err(error) = shell(command) {
            failed.insert(*rule, error);
        }
    }
    // What is under way ends, such as an interrupt that moves when it next occurs.
    act(&mut kept)?;
    let (after, _) = record(bench, &mut kept)?;
    let left = rules(&after);
    for (test, error) in skipped {
        bench.outcome(test, Err(error))?;
    }
    for (cause, _) in &kept {
        let of_rule = commands.iter().filter(|(rule, _)| *rule == cause.rule);
        let run: Vec<_> = of_rule.map(|(_, command)| command.as_str()).collect();
        let verdict = || -> Result<String> {
            ensure!(
                shown.contains(cause.rule),
                "the cause makes no breach of {}; there were {shown:?}",
                cause.rule
            );
            ensure!(!run.is_empty(), "the log has no command for {}", cause.rule);
            if let Some(error) = failed.get(cause.rule) {
                bail!("{error:#}");
            }
            ensure!(
                !left.contains(cause.rule),
                "after {run:?} it comes again: {}",
                one(&after, cause.rule)?
            );
            Ok(run.join("; "))
        };
        bench.outcome(cause.test, verdict())?;
    }
    drop(loads);
    Ok(())
}

/// Makes every cause for a while.
fn act(kept: &mut [(&Cause, Kept)]) -> Result<()> {
    for _ in 0..STEPS {
        for (cause, act) in kept.iter_mut() {
            act().with_context(|| cause.rule)?;
        }
        thread::sleep(STEP);
    }
    Ok(())
}

/// Records while every cause is made.
fn record(bench: &mut Bench, kept: &mut [(&Cause, Kept)]) -> Result<(Log, Vec<Remedy>)> {
    let tracer = Tracer::start::<&str>(&[])?;
    act(kept)?;
    let ended: Ended = tracer.end(libc::SIGINT)?;
    let remedies = spelled_out(&ended.log)?;
    let log = bench.take(&ended, 0, |_| false)?;
    Ok((log, remedies))
}

/// The records `remedy` of a log.
fn spelled_out(log: &Path) -> Result<Vec<Remedy>> {
    let mut remedies = Vec::new();
    log::for_each(log, |_, line| {
        if line.starts_with("{\"type\":\"remedy\"") {
            remedies.push(serde_json::from_str(line)?);
        }
        Ok(())
    })?;
    Ok(remedies)
}

/// The rules of a log's breaches.
fn rules(log: &Log) -> BTreeSet<String> {
    let breaches = log.breaches.iter();
    breaches
        .filter_map(|breach| breach.remedy.clone())
        .collect()
}

/// The first breach of a rule, for people.
fn one(log: &Log, rule: &str) -> Result<String> {
    let mut breaches = log.breaches.iter();
    let first = breaches.find(|breach| breach.remedy.as_deref() == Some(rule));
    Ok(serde_json::to_string(&first)?)
}

/// The commands that end the causes, each once.
fn commands<'a>(remedies: &[Remedy], kept: &[(&'a Cause, Kept)]) -> Vec<(&'a str, String)> {
    let mut commands = Vec::new();
    for (cause, _) in kept {
        let of_rule = remedies.iter().filter(|remedy| remedy.id == cause.rule);
        for command in of_rule.flat_map(|remedy| &remedy.run) {
            commands.push((cause.rule, command.clone()));
        }
    }
    commands
}

fn shell(command: &str) -> Result<()> {
    let status = Command::new("/bin/sh").args(["-c", command]).status()?;
    ensure!(status.success(), "{command}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of rules, as people edit it.
    const RULES: &str = include_str!("../../../../isol-trace/src/attrib/rules/rules.toml");

    /// Rules that a command or a boot argument ends and that no guest tries, and why.
    const UNTRIED: &[(&str, &str)] = &[
        (
            "fair-server",
            "it kicks a task that is alone, and the other causes bring company; every guest takes the runtime away to be quiet (`quiet_control`)",
        ),
        (
            "irq-timer",
            "its command is that of device-irq for every interrupt, which is tried; the emulated port's interrupts mixed nothing in that time",
        ),
        ("net-rps", "6.12 refuses a mask of isolated CPUs alone"),
        (
            "soft-lockup-watchdog",
            "the detector's timer did not show beside the other causes; the doctor's script keeps it off (`doctor_mended`)",
        ),
        (
            "clocksource-skew-check",
            "boot argument: every guest boots with it, or its CPUs would not be quiet (`quiet_control`)",
        ),
        (
            "clocksource-watchdog",
            "boot argument: every guest boots with it, or its CPUs would not be quiet (`quiet_control`)",
        ),
        ("cpufreq", "the guest's CPUs have no frequency driver"),
        (
            "isolcpus-dropped",
            "boot argument: every guest boots with both arguments as the rule has them, and `Guest::detect` asks for what they do",
        ),
        ("load-balance", "boot argument: every guest boots with it"),
        (
            "lru-drain",
            "its command is the first half of that of tlb-thp-collapse, which is tried",
        ),
        (
            "managed-irq",
            "boot argument: every guest boots with it; the guest's devices have one queue each",
        ),
        ("nmi-perf-counter", "QEMU's TCG has no performance counters"),
        ("rcu-callbacks", "boot argument: every guest boots with it"),
        (
            "rcu-expedited",
            "RCU asks a CPU only while it is in the kernel; no load of the guests is there when it does",
        ),
        ("rcu-kick", "boot argument: every guest boots with it"),
        ("rcu-softirq", "boot argument: every guest boots with it"),
        (
            "residual-tick",
            "boot argument: every guest boots with it (`quiet_control`)",
        ),
        (
            "rt-throttling",
            "before 6.12 only, and remedies are tried on 6.12",
        ),
        (
            "threaded-irq",
            "its command is that of device-irq, which is tried; only drivers of hardware that the guest lacks have such threads",
        ),
        ("tick-clock-unstable", "the guest's TSC stays stable"),
        ("tick-rcu", "boot argument: every guest boots with it"),
        (
            "timer-migration",
            "from 6.9 on timers of the wheel leave isolated CPUs whatever the setting says, and remedies are tried on 6.12",
        ),
        ("tlb-numa-balancing", "the guest has one memory node"),
        ("tsc-adjust-check", "QEMU's TCG has no TSC_ADJUST register"),
        (
            "unbound-workqueue",
            "nothing in the guests queues unbound work from a watched CPU again and again; the doctor's script writes the same mask (`doctor_mended`)",
        ),
        (
            "vmstat",
            "6.12 leaves isolated CPUs alone, whatever the interval",
        ),
    ];

    /// Identifiers of rules, and who ends each.
    fn ends() -> Vec<(&'static str, &'static str)> {
        let value = |line: &'static str| line.split('"').nth(1).unwrap();
        let lines = |name: &'static str| {
            let lines = RULES.lines().filter(move |line| line.starts_with(name));
            lines.map(value)
        };
        let (ids, ends): (Vec<_>, Vec<_>) = (lines("id = ").collect(), lines("ends = ").collect());
        assert_eq!(ids.len(), ends.len(), "each rule says who ends it");
        ids.into_iter().zip(ends).collect()
    }

    #[test]
    fn each_rule_that_a_command_or_a_boot_argument_ends_is_tried_or_has_a_reason_why_not() {
        let wanted: Vec<_> = ends()
            .into_iter()
            .filter(|(_, ends)| ["command", "boot"].contains(ends))
            .map(|(id, _)| id)
            .collect();
        let tried = CAUSES.iter().map(|cause| cause.rule);
        let mut have: Vec<_> = tried.chain(UNTRIED.iter().map(|(rule, _)| *rule)).collect();
        have.sort_unstable();
        let mut sorted = wanted;
        sorted.sort_unstable();
        assert_eq!(have, sorted, "each once");
    }

    #[test]
    fn a_remedy_is_read_as_the_log_has_it() {
        let text = r#"{"type":"remedy","id":"a","text":"t","run":["x"],"boot":[],"verify":["v"]}"#;
        let remedy: Remedy = serde_json::from_str(text).unwrap();
        assert_eq!(
            (remedy.id.as_str(), remedy.run),
            ("a", vec!["x".to_owned()])
        );
    }
}
