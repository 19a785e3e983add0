//! `vectors` detection, on a CPU without context tracking.

use anyhow::{Context, Result, ensure};

use super::{
    bench::{Bench, Group},
    guest::skip,
    load::Load,
    log::Log,
    provoke::load,
    sys,
    tracer::Tracer,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![(
            "detection_vectors",
            "a CPU that is not nohz_full: entries are derived from their causes, and the header says so",
        )],
        run,
    }
}

const CALLS: u64 = 300;

fn run(bench: &mut Bench) -> Result<()> {
    let (Some((&cpu, rest)), true) = (
        bench.guest.housekeeping.split_last(),
        bench.guest.housekeeping.len() > 1,
    ) else {
        return skip("no second housekeeping CPU to watch");
    };
    sys::pin(0, rest)?;
    let outcome = watch(bench, cpu);
    sys::pin(0, &bench.guest.housekeeping)?;
    bench.outcome("detection_vectors", outcome)
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
