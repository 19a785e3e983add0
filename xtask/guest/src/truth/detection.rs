//! `vectors` detection, on a CPU without context tracking.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    bench::{Bench, Group},
    guest::skip,
    load::Load,
    log::{Activity, Log},
    sys,
    tracer::Tracer,
    trigger::load,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                DERIVED,
                "a CPU that is not nohz_full: entries are derived from their causes, and the header says so",
            ),
            (
                SHARED,
                "two tasks on such a CPU: the interrupts of each are its own entries",
            ),
        ],
        run,
    }
}

const DERIVED: &str = "detection_vectors";
const SHARED: &str = "detection_vectors_shared";

const CALLS: u64 = 300;
/// How long two tasks share a CPU: some dozens of turns.
const SHARE: Duration = Duration::from_secs(1);

fn run(bench: &mut Bench) -> Result<()> {
    let (Some((&cpu, rest)), true) = (
        bench.guest.housekeeping.split_last(),
        bench.guest.housekeeping.len() > 1,
    ) else {
        return skip("no second housekeeping CPU to watch");
    };
    sys::pin(0, rest)?;
    let outcome = watch(bench, cpu);
    bench.outcome(DERIVED, outcome)?;
    let outcome = share(bench, cpu);
    sys::pin(0, &bench.guest.housekeeping)?;
    bench.outcome(SHARED, outcome)
}

fn share(bench: &mut Bench, cpu: u32) -> Result<String> {
    let mut loads = Vec::new();
    for _ in 0..2 {
        loads.push(Load::start(&bench.guest, load::SPIN, cpu, 0)?);
    }
    for load in &mut loads {
        load.begin()?;
    }
    let tracer = Tracer::start(&["--cpus", &cpu.to_string()])?;
    thread::sleep(SHARE);
    let log = bench.finish(tracer)?;
    let pids: Vec<_> = loads.iter().map(Load::pid).collect();
    drop(loads);
    judge_shared(&log, &pids)
}

fn judge_shared(log: &Log, pids: &[u32]) -> Result<String> {
    let mut switched = 0;
    for &pid in pids {
        let own = || log.breaches.iter().filter(move |it| it.task.tid == pid);
        let ticks = own().filter(|it| it.cause.kind == "local_timer").count();
        ensure!(
            ticks > 1,
            "{pid} ran, and only {ticks} of its ticks are seen"
        );
        for breach in own() {
            let mut after = breach
                .activity
                .iter()
                .skip_while(|it| !is_switch_to(it, pids));
            let Some(switch) = after.next() else { continue };
            let rest: Vec<_> = after.map(|it| it.kind.as_str()).collect();
            ensure!(
                breach.end == "switched" && rest.is_empty(),
                "breach {} ended as {} and lists {rest:?} after the switch to {:?}",
                breach.seq,
                breach.end,
                switch.name
            );
            switched += 1;
        }
    }
    ensure!(switched > 1, "the tasks took {switched} turns");
    let backs = log
        .backs
        .iter()
        .filter(|back| back.breach.is_some())
        .count();
    // The last one may still be away.
    ensure!(
        backs + 2 >= switched,
        "{switched} were switched away, and {backs} came back"
    );
    Ok(format!("{switched} turns, {backs} returns"))
}

fn is_switch_to(activity: &Activity, tids: &[u32]) -> bool {
    let tid = activity.more.get("tid").and_then(serde_json::Value::as_u64);
    activity.kind == "switch" && tids.iter().any(|&one| tid == Some(u64::from(one)))
}

fn watch(bench: &mut Bench, cpu: u32) -> Result<String> {
    let mut calls = Load::start(&bench.guest, load::CALLS, cpu, CALLS)?;
    let tracer = Tracer::start(&["--cpus", &cpu.to_string()])?;
    let pid = calls.pid();
    calls.perform()?;
    let log = bench.finish(tracer)?;
    drop(calls);
    judge(&log, cpu, pid)
}

fn judge(log: &Log, cpu: u32, pid: u32) -> Result<String> {
    let watched = log.header()?.cpus.first().context("no CPU is watched")?;
    ensure!(
        watched.cpu == cpu && watched.detection == "vectors",
        "CPU {} is watched by {}",
        watched.cpu,
        watched.detection
    );
    let of_load: Vec<_> = log
        .breaches
        .iter()
        .filter(|breach| breach.task.tid == pid)
        .collect();
    let calls = of_load
        .iter()
        .filter(|breach| breach.cause.name.as_deref() == Some("getppid"))
        .count() as u64;
    ensure!(calls == CALLS, "{CALLS} calls were made, {calls} seen");
    let ticks = of_load
        .iter()
        .filter(|breach| breach.cause.kind == "local_timer")
        .count();
    ensure!(ticks > 0, "a CPU with a tick, and no local_timer seen");
    Ok(format!("{calls} calls, {ticks} ticks"))
}
