//! Who did it: senders that are known beforehand, alone, together, in bursts, and gone.

use std::{
    collections::BTreeMap, env, fs, os::fd::OwnedFd, process::Command, sync::Barrier, thread,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    bench::{Bench, Group},
    guest::skip,
    load::Load,
    log::{Breach, Log, Origin},
    provoke::load,
    sys::{self, PerfAttr},
    tracer::Tracer,
    window::Window,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                "origin_burst",
                "one sender, one call after the other by the same csd: each has its origin",
            ),
            (
                "origin_two_senders",
                "two threads on two CPUs at once: each call is its own thread's",
            ),
            (
                "origin_exited",
                "a sender that is gone before anybody asks is named all the same",
            ),
            (
                "origin_multicast",
                "calls to every CPU: each watched one has the same sender, as often as it was called",
            ),
        ],
        run,
    }
}

/// Calls of a burst.
const BURST: usize = 200;
/// Calls of each of two senders.
const EACH: usize = 100;
/// Times that a static key is flipped on and off.
const FLIPS: usize = 5;

const SCHEDSTATS: &str = "/proc/sys/kernel/sched_schedstats";

fn run(bench: &mut Bench) -> Result<()> {
    if !bench.guest.names_calls() {
        return skip("before 6.5 a kernel does not show who queues a cross-call");
    }
    let cpu = bench.guest.cpu();
    let Some(second) = bench.guest.second() else {
        return skip("there is one watched CPU only");
    };
    let mut first_load = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    let mut second_load = Load::start(&bench.guest, load::SPIN, second, 0)?;
    let tracer = Tracer::start::<&str>(&[])?;
    first_load.begin()?;
    second_load.begin()?;

    let burst = burst(bench, cpu)?;
    let pair = two_senders(bench, cpu)?;
    let child = exited(bench, cpu)?;
    let flips = multicast(bench)?;

    let log = bench.finish(tracer)?;
    drop((first_load, second_load));
    let me = std::process::id();
    let missed = missed_runs(&log)?;
    let outcome = burst.origins(&log, cpu).and_then(|origins| {
        let origins = all_are(origins, missed, me, "remote_function", "ioctl")?;
        calls_by_thread(
            &origins,
            missed,
            &BTreeMap::from([(burst.threads[0], BURST)]),
        )
    });
    bench.outcome("origin_burst", outcome)?;
    let outcome = pair.origins(&log, cpu).and_then(|origins| {
        let origins = all_are(origins, missed, me, "remote_function", "ioctl")?;
        let expected = pair.threads.iter().map(|&tid| (tid, EACH)).collect();
        calls_by_thread(&origins, missed, &expected)
    });
    bench.outcome("origin_two_senders", outcome)?;
    let outcome = child.origins(&log, cpu).and_then(|origins| {
        ensure!(!origins.is_empty(), "the child called nobody");
        let origins = all_are(origins, missed, child.threads[0], "", "")?;
        Ok(format!("{} calls", origins.len()))
    });
    bench.outcome("origin_exited", outcome)?;
    let outcome = bench
        .guest
        .watched
        .iter()
        .map(|&cpu| {
            let calls = flips.window.count("CAL", cpu);
            let origins = flips.origins(&log, cpu)?;
            let origins = all_are(origins, missed, me, "do_sync_core", "write")?;
            let seen = origins.len() as u64;
            ensure!(
                (seen..=seen + missed).contains(&calls) && calls > 0,
                "CPU {cpu}: {} origins, and /proc/interrupts has {calls} calls",
                origins.len()
            );
            Ok(format!("CPU {cpu}: {calls}"))
        })
        .collect::<Result<Vec<_>>>();
    bench.outcome("origin_multicast", outcome.map(|all| all.join(", ")))
}

/// What was done when, and by whom.
struct Scene {
    window: Window,
    /// Threads, or the process where it is another one.
    threads: Vec<u32>,
}

impl Scene {
    fn around(bench: &Bench, does: impl FnOnce() -> Result<Vec<u32>>) -> Result<Self> {
        let (window, threads) = Window::around(&bench.guest, does)?;
        Ok(Self { window, threads })
    }

    /// Origins of the calls that a CPU had in this time.
    fn origins<'a>(&self, log: &'a Log, cpu: u32) -> Result<Vec<&'a Origin>> {
        let calls = |breach: &&&Breach| breach.cause.kind.starts_with("call_function");
        let breaches = self.window.breaches(log, cpu);
        ensure!(
            breaches.iter().all(|one| one.activity_dropped == 0),
            "activities found no room"
        );
        Ok(breaches
            .iter()
            .filter(calls)
            .flat_map(|breach| &breach.origins)
            .collect())
    }
}

/// Runs of programs that the kernel skipped, and senders without room: as many origins may be unknown.
fn missed_runs(log: &Log) -> Result<u64> {
    let tracer = &log.summary()?.tracer;
    let missed: u64 = tracer.missed_runs.values().sum();
    Ok(missed + tracer.lost_senders)
}

/// Every origin is of this process, asked for this function, and came by this system call, save as
/// many unknown ones as runs were missed. Gives those that are known.
fn all_are<'a>(
    origins: Vec<&'a Origin>,
    missed: u64,
    pid: u32,
    callback: &str,
    through: &str,
) -> Result<Vec<&'a Origin>> {
    let (unknown, origins): (Vec<_>, Vec<_>) =
        origins.into_iter().partition(|one| one.kind == "unknown");
    ensure!(
        unknown.len() as u64 <= missed,
        "{} origins are unknown, and {missed} runs were missed",
        unknown.len()
    );
    let is = |origin: &&&Origin| {
        origin.kind == "remote"
            && origin.pid == Some(pid)
            && origin.inferred == Some(false)
            && (callback.is_empty() || origin.callback.as_deref() == Some(callback))
            && (through.is_empty() || origin.stack.iter().any(|at| at.contains(through)))
    };
    let strange: Vec<_> = origins.iter().filter(|one| !is(one)).collect();
    if let Some(first) = strange.first() {
        bail!(
            "{} of {} origins are not of process {pid}, such as {first:?}",
            strange.len(),
            origins.len()
        );
    }
    Ok(origins)
}

/// So many calls of each thread.
fn calls_by_thread(
    origins: &[&Origin],
    missed: u64,
    expected: &BTreeMap<u32, usize>,
) -> Result<String> {
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for origin in origins {
        *seen.entry(origin.tid.unwrap_or(0)).or_default() += 1;
    }
    let too_many = |(tid, &seen): (&u32, &usize)| expected.get(tid).is_none_or(|&made| seen > made);
    let made: usize = expected.values().sum();
    ensure!(
        !seen.iter().any(too_many) && (origins.len() as u64 + missed) >= made as u64,
        "calls by thread: {seen:?}, made were {expected:?}"
    );
    Ok(format!("{} calls, {missed} runs missed", origins.len()))
}

/// An event of a CPU, each change of which calls that CPU once.
struct Switch(OwnedFd);

impl Switch {
    fn open(cpu: u32) -> Result<Self> {
        let attr = PerfAttr {
            kind: sys::PERF_TYPE_SOFTWARE,
            config: sys::PERF_COUNT_SW_DUMMY,
            flags: 1,
            ..PerfAttr::default()
        };
        let event = sys::perf_event(&attr, -1, i32::try_from(cpu)?).context("perf_event_open")?;
        Ok(Self(event))
    }

    fn flip(&self, times: usize) -> Result<()> {
        for time in 0..times {
            let request = if time % 2 == 0 {
                sys::PERF_ENABLE
            } else {
                sys::PERF_DISABLE
            };
            sys::ioctl(&self.0, request, 0)?;
        }
        Ok(())
    }
}

fn burst(bench: &Bench, cpu: u32) -> Result<Scene> {
    let event = Switch::open(cpu)?;
    Scene::around(bench, || {
        event.flip(BURST)?;
        Ok(vec![sys::thread_id()])
    })
}

fn two_senders(bench: &Bench, cpu: u32) -> Result<Scene> {
    let events = [Switch::open(cpu)?, Switch::open(cpu)?];
    let places = &bench.guest.housekeeping;
    ensure!(places.len() >= 2, "two senders need two housekeeping CPUs");
    Scene::around(bench, || {
        let together = Barrier::new(events.len());
        thread::scope(|scope| {
            let senders: Vec<_> = events
                .iter()
                .zip(places)
                .map(|(event, &place)| {
                    let together = &together;
                    scope.spawn(move || {
                        let pinned = sys::pin(0, &[place]);
                        together.wait();
                        pinned?;
                        event.flip(EACH)?;
                        Ok(sys::thread_id())
                    })
                })
                .collect();
            senders
                .into_iter()
                .map(|sender| {
                    sender
                        .join()
                        .map_err(|_panic| anyhow::anyhow!("a sender"))?
                })
                .collect()
        })
    })
}

fn exited(bench: &Bench, cpu: u32) -> Result<Scene> {
    Scene::around(bench, || {
        let mut child = Command::new(env::current_exe()?)
            .args(["command", "flip", &cpu.to_string()])
            .spawn()?;
        let pid = child.id();
        ensure!(child.wait()?.success(), "the child failed");
        Ok(vec![pid])
    })
}

/// What the child of `origin_exited` does.
pub fn flip_once(cpu: u32) -> Result<()> {
    Switch::open(cpu)?.flip(2)
}

fn multicast(bench: &Bench) -> Result<Scene> {
    // Once beforehand: what it brings about the first time is not of this test.
    fs::write(SCHEDSTATS, "1")?;
    fs::write(SCHEDSTATS, "0")?;
    Scene::around(bench, || {
        for _ in 0..FLIPS {
            fs::write(SCHEDSTATS, "1")?;
            fs::write(SCHEDSTATS, "0")?;
        }
        Ok(vec![sys::thread_id()])
    })
}
