//! The fair server is switched off while a task computes alone.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use super::{Remedy, busy::Busy, shell, taken};
use crate::truth::{
    bench::{Bench, Group},
    doctor,
    guest::Setting,
    log::{Breach, Log},
    tracer::Tracer,
};

/// The test.
pub(super) const TEST: &str = "remedy_fair_server";
/// The kernels where the server was seen to disturb a task that is alone.
pub(super) const KERNELS: &[(u32, u32)] = &[(6, 12), (6, 18)];

/// The rules of its doing: 6.12 kicks the CPU, 6.18 does so or keeps the tick.
const RULES: [&str; 2] = ["fair-server", "tick-sched"];

/// What the kernel begins with, nanoseconds in a second (`dl_server_start`, kernel/sched/deadline.c, v6.12).
const RUNTIME: &str = "50000000";

/// Long enough for a kick a second.
const TIME: Duration = Duration::from_secs(4);

/// The group.
pub(super) fn group() -> Group {
    Group {
        tests: vec![(
            TEST,
            "a task that is alone has neither kick nor tick of the fair server any more",
        )],
        run: |bench| {
            let outcome = tried(bench);
            bench.outcome(TEST, outcome)
        },
    }
}

fn tried(bench: &mut Bench) -> Result<String> {
    let cpu = bench.guest.cpu();
    let path = format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime");
    let server = Setting::change(&path, RUNTIME)?;
    let alone = Busy::computing(cpu)?;
    let (before, remedies) = record(bench)?;
    let found = disturbed(&before).count();
    ensure!(found > 1, "the server disturbs nobody ({found} times)");
    // 6.18 shows no more of the server than the tick: there the doctor knows.
    let said = remedies.into_iter().find(|it| it.id == RULES[0]);
    let run = match said {
        Some(remedy) => remedy.run,
        None => vec![doctor::command(RULES[0])?],
    };
    for command in &run {
        shell(command)?;
    }
    // The tick that is under way ends.
    thread::sleep(TIME / 4);
    let (after, _) = record(bench)?;
    let left = disturbed(&after).next().map(serde_json::to_string);
    drop((alone, server));
    if let Some(left) = left {
        bail!("after {run:?} it goes on, {found} times before: {}", left?);
    }
    Ok(format!("{found} before; {}", run.join("; ")))
}

fn record(bench: &mut Bench) -> Result<(Log, Vec<Remedy>)> {
    let tracer = Tracer::start::<&str>(&[])?;
    thread::sleep(TIME);
    taken(bench, tracer).context("beside a task that is alone")
}

/// What the server does to the task.
fn disturbed(log: &Log) -> impl Iterator<Item = &Breach> {
    let of_a_rule = |breach: &&Breach| {
        let rule = breach.remedy.as_deref();
        rule.is_some_and(|rule| RULES.contains(&rule))
    };
    log.breaches.iter().filter(of_a_rule)
}
