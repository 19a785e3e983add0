//! Remedies are tried: what a log prints is run as it is printed, and the breach does not come again.
//!
//! All causes of a kernel are made in one recording. Then the commands of the log's records `remedy` are
//! given to a shell, each cause is made again, and a second recording shows none of them. What programs are to
//! do otherwise is tried by actors that do it (`programs`). The rules say
//! where theirs was tried (`tried` in rules.toml), and a test here compares. What has to be booted with is
//! tried in two guests, by who boots them.

mod busy;
mod causes;
mod network;
mod oldest;
mod programs;
mod server;
mod shared;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod untried;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{
    bench::{Bench, Group},
    guest::{Guest, skip},
    load::Load,
    log::{self, Growing, Log},
    tracer::{Ended, Tracer},
    trigger::load,
};

/// The groups.
#[must_use]
pub fn groups() -> Vec<Group> {
    let tests = |causes: &'static [Cause]| {
        let tests = causes.iter();
        tests.map(|cause| (cause.test, cause.about)).collect()
    };
    vec![
        Group {
            tests: tests(causes::CAUSES),
            run: |bench| run(bench, causes::CAUSES, 40),
        },
        Group {
            tests: tests(oldest::CAUSES),
            run: |bench| run(bench, oldest::CAUSES, 25),
        },
        server::group(),
        programs::group(),
    ]
}

/// One test of each group, and the kernels that it is part of: trying takes time, and the commands are the
/// same everywhere.
pub const KERNELS: [(&str, &[(u32, u32)]); 4] = [
    ("remedy_mce_polling", &[(6, 12)]),
    ("remedy_vmstat", &[(6, 1)]),
    (server::TEST, server::KERNELS),
    (programs::PROGRAMS[0].test, &[(6, 12)]),
];

/// Rules whose boot arguments are tried, by booting without and with them, and the kernel line of that.
pub const BOOTED: &[&str] = &["clocksource-watchdog", "managed-irq", "residual-tick"];
/// That line.
pub const BOOTED_ON: &str = "6.12";

/// The kernel line whose guests have a disk: its kernel has the driver built in.
pub const DISK_ON: &str = BOOTED_ON;

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

/// How often causes are made.
const STEP: Duration = Duration::from_millis(200);

/// How many times as long a recording goes on whose causes have not all shown. Some come once in seconds, and where
/// such a one meets the kernel, or another cause, it is no breach of its own.
const AT_MOST: u32 = 4;

/// What a log says of a remedy.
#[derive(Debug, Deserialize)]
struct Remedy {
    id: String,
    run: Vec<String>,
}

/// Tries the remedies of all causes together, made so many times.
fn run(bench: &mut Bench, causes: &'static [Cause], times: u32) -> Result<()> {
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
    for cause in causes.iter().filter(|cause| bench.wants(cause.test)) {
        match (cause.prepare)(&guest) {
            Ok(act) => kept.push((cause, act)),
            Err(error) => {
                skipped.insert(cause.test, error);
            }
        }
    }
    let (before, remedies) = record_all(bench, &mut kept, times)?;
    let shown = rules(&before);
    let commands = commands(&remedies, &kept);
    let mut failed = BTreeMap::new();
    for (rule, command) in &commands {
        if let Err(error) = shell(command) {
            failed.insert(*rule, error);
        }
    }
    // What is under way ends, such as an interrupt that moves when it next occurs.
    act(&mut kept, times / 2)?;
    let (after, _) = record(bench, &mut kept, times)?;
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
    // The last setting first: one that was changed twice is then as it was.
    while kept.pop().is_some() {}
    drop(loads);
    Ok(())
}

/// Makes every cause for a while.
fn act(kept: &mut [(&Cause, Kept)], times: u32) -> Result<()> {
    for _ in 0..times {
        for (cause, act) in kept.iter_mut() {
            act().with_context(|| cause.rule)?;
        }
        thread::sleep(STEP);
    }
    Ok(())
}

/// Records while every cause is made.
fn record(
    bench: &mut Bench,
    kept: &mut [(&Cause, Kept)],
    times: u32,
) -> Result<(Log, Vec<Remedy>)> {
    let tracer = Tracer::start::<&str>(&[])?;
    act(kept, times)?;
    taken(bench, tracer)
}

/// Records until every cause has shown, or for long.
fn record_all(
    bench: &mut Bench,
    kept: &mut [(&Cause, Kept)],
    times: u32,
) -> Result<(Log, Vec<Remedy>)> {
    let tracer = Tracer::start::<&str>(&[])?;
    let mut log = Growing::open(tracer.log())?;
    let mut missing: BTreeSet<&str> = kept.iter().map(|(cause, _)| cause.rule).collect();
    let mut made = 0;
    while made < times || (made < AT_MOST * times && !missing.is_empty()) {
        act(kept, 1)?;
        made += 1;
        log.lines(|line| {
            if let Some(remedy) = spelled_out_by(line)? {
                missing.remove(remedy.id.as_str());
            }
            Ok(())
        })?;
    }
    taken(bench, tracer)
}

/// The log of a tracer that is ended, and its records `remedy`.
fn taken(bench: &mut Bench, tracer: Tracer) -> Result<(Log, Vec<Remedy>)> {
    let ended: Ended = tracer.end(libc::SIGINT)?;
    let remedies = spelled_out(&ended.log)?;
    let log = bench.take(&ended, 0, |_| false)?;
    Ok((log, remedies))
}

/// The records `remedy` of a log.
fn spelled_out(log: &Path) -> Result<Vec<Remedy>> {
    let mut remedies = Vec::new();
    log::for_each(log, |_, line| {
        remedies.extend(spelled_out_by(line)?);
        Ok(())
    })?;
    Ok(remedies)
}

/// A line, if it is a record `remedy`.
fn spelled_out_by(line: &str) -> Result<Option<Remedy>> {
    let is_one = line.starts_with("{\"type\":\"remedy\"");
    Ok(is_one.then(|| serde_json::from_str(line)).transpose()?)
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
