//! More entries than anybody can read: the ledger stays exact, memory bounded, the reader alive.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    bench::{Bench, Group},
    interrupts::Interrupts,
    load::Load,
    log::Log,
    process,
    tracer::Tracer,
    trigger::load,
};

/// The group of a storm of which something is lost.
#[must_use]
pub fn lossy_group() -> Group {
    Group {
        tests: vec![
            (
                "storm_lossy",
                "a storm of system calls, small rings, the reader stopped for a while: what is lost is counted",
            ),
            (
                "storm_memory",
                "the tracer's own memory does not grow with the storm",
            ),
        ],
        run: lossy,
    }
}

/// The group of a storm in which the tracer is watched.
#[must_use]
pub fn observer_group() -> Group {
    Group {
        tests: vec![
            (
                "storm_observer",
                "while the tracer drains a storm, nothing of its arrives at the watched CPU",
            ),
            (
                "tracer_breaches",
                "the tracer caused no breach while armed, and says what attaching and detaching cost",
            ),
        ],
        run: observer,
    }
}

/// The group of two storms at once.
#[must_use]
pub fn two_cpus_group() -> Group {
    Group {
        tests: vec![(
            "storm_two_cpus",
            "two watched CPUs storm at once: each has its own exact account",
        )],
        run: two_cpus,
    }
}

/// Calls of a storm, at most; a log line of each must fit a small machine's memory.
const CALLS: u64 = 150_000;
/// Anonymous memory of the tracer, at most, and by how much a storm may raise it.
const MEMORY: u64 = 64 << 10;
const GROWTH: u64 = 8 << 10;

/// Bytes of the log when the reader is at work on a storm, which has far more to write.
const DRAINED: u64 = 256 << 10;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a log is so long.
fn until_logged(log: &Path, bytes: u64) -> Result<()> {
    let start = Instant::now();
    loop {
        let there = fs::metadata(log)?.len();
        if there >= bytes {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "the log has {there} bytes after {PATIENCE:?} of a storm"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn lossy(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let mut storm = Load::start(&bench.guest, load::CALLS, cpu, CALLS)?;
    let tracer = Tracer::start(&["--ring-size", "64K"])?;
    let pid = tracer.pid()?;
    storm.begin()?;
    // The reader is at work on the storm.
    until_logged(tracer.log(), DRAINED)?;
    let early = process::anonymous_kib(pid)?;
    tracer.signal(libc::SIGSTOP)?;
    thread::sleep(Duration::from_millis(800));
    tracer.signal(libc::SIGCONT)?;
    let calls = storm.done()?;
    bench.guest.wait_quiet()?;
    let late = process::anonymous_kib(pid)?;
    let log = bench.finish_without(tracer, |breach| breach.cause.kind == "syscall")?;
    drop(storm);
    let account = exact(&log, cpu, calls).and_then(|remark| {
        let lost = log.totals(cpu)?.lost;
        ensure!(lost > 0, "nothing was lost: the test did not test");
        Ok(format!("{remark}, {lost} lost"))
    });
    bench.outcome("storm_lossy", account)?;
    let memory = || -> Result<String> {
        ensure!(late < MEMORY, "{late} KiB of anonymous memory");
        ensure!(
            late < early + GROWTH,
            "anonymous memory grew from {early} to {late} KiB"
        );
        Ok(format!("{early} KiB, then {late} KiB"))
    };
    let memory = memory();
    bench.outcome("storm_memory", memory)
}

/// The log's account of a storm agrees with the storm's own.
fn exact(log: &Log, cpu: u32, calls: u64) -> Result<String> {
    let totals = log.totals(cpu)?;
    let counted = totals.causes.get("syscall").map_or(0, |cause| cause.count);
    ensure!(calls > 1000, "{calls} calls are no storm");
    ensure!(
        counted == calls,
        "{calls} system calls were made, {counted} counted"
    );
    let others = totals.entries - counted;
    let recorded = log
        .breaches
        .iter()
        .filter(|one| one.cause.kind != "syscall");
    let recorded = recorded.count() as u64;
    ensure!(
        recorded + totals.lost.min(others) >= others,
        "{others} other entries and {recorded} records of them"
    );
    Ok(format!("{calls} calls"))
}

fn observer(bench: &mut Bench) -> Result<()> {
    const MOVED: &[&str] = &["IWI", "RES", "CAL"];
    let cpu = bench.guest.cpu();
    let mut storm = Load::start(&bench.guest, load::CALLS, cpu, CALLS / 2)?;
    let tracer = Tracer::start::<&str>(&[])?;
    bench.guest.wait_quiet()?;
    let before = Interrupts::read()?;
    let calls = storm.perform()?;
    // The reader has time to catch up, and must not be heard.
    thread::sleep(Duration::from_secs(2));
    let after = Interrupts::read()?;
    // A plain call tells nothing; one in which something arrived does.
    let log = bench.finish_without(tracer, |breach| {
        breach.cause.kind == "syscall" && breach.activity.is_empty()
    })?;
    drop(storm);
    let silent = exact(&log, cpu, calls).and_then(|remark| {
        for &cpu in &bench.guest.watched {
            let changes = before.changes(&after, cpu);
            for line in MOVED {
                ensure!(
                    !changes.contains_key(*line),
                    "CPU {cpu}: /proc/interrupts moved: {changes:?}; the log has {}",
                    arrivals(&log, cpu)
                );
            }
        }
        let records = calls - log.totals(cpu)?.lost;
        ensure!(records >= 10_000, "{records} records are too few to tell");
        Ok(format!("{remark}, {records} records"))
    });
    bench.outcome("storm_observer", silent)?;
    let tracer = &log.summary()?.tracer;
    let own = || -> Result<String> {
        ensure!(
            tracer.breaches == 0,
            "{} breaches of its own",
            tracer.breaches
        );
        let attach = tracer
            .attach_breaches
            .context("attaching was not measured")?;
        let detach = tracer
            .detach_breaches
            .context("detaching was not measured")?;
        Ok(format!(
            "attaching cost {attach} entries, detaching {detach}, on {} watched CPUs",
            bench.guest.watched.len()
        ))
    };
    let own = own();
    bench.outcome("tracer_breaches", own)
}

/// What arrived at a CPU by the log: entries that are no plain calls.
fn arrivals(log: &Log, cpu: u32) -> String {
    let breaches: Vec<_> = log.breaches.iter().filter(|one| one.cpu == cpu).collect();
    serde_json::to_string(&breaches).unwrap_or_else(|error| error.to_string())
}

fn two_cpus(bench: &mut Bench) -> Result<()> {
    let Some(second) = bench.guest.second() else {
        return super::guest::skip("there is one watched CPU only");
    };
    let first = bench.guest.cpu();
    let mut storms = [
        Load::start(&bench.guest, load::CALLS, first, CALLS / 5)?,
        Load::start(&bench.guest, load::CALLS, second, CALLS / 10)?,
    ];
    let tracer = Tracer::start::<&str>(&[])?;
    for storm in &mut storms {
        storm.begin()?;
    }
    let calls = [storms[0].done()?, storms[1].done()?];
    let log = bench.finish_without(tracer, |breach| breach.cause.kind == "syscall")?;
    drop(storms);
    let outcome = exact(&log, first, calls[0]).and_then(|one| {
        let two = exact(&log, second, calls[1])?;
        Ok(format!("CPU {first}: {one}, CPU {second}: {two}"))
    });
    bench.outcome("storm_two_cpus", outcome)
}
