//! Who is behind what no sender's record names: a profiler, whose event has a timer on the watched CPU, and
//! tasks and workers of the kernel's that run there for a moment.

use std::{env, process::Command, thread, time::Duration};

use anyhow::{Result, anyhow, bail, ensure};
use serde_json::Value;

use super::scenario::in_child;
use crate::truth::{
    bench::{Bench, Group},
    load::Load,
    log::{Activity, Breach, Origin},
    sys::{self, PerfAttr, Ring},
    tracer::Tracer,
    trigger::load,
    window::Window,
};

const PROFILER: &str = "origin_profiler";
const GUEST: &str = "origin_task_that_came";
const WORKER: &str = "origin_io_worker";

/// The function of such a timer (kernel/events/core.c).
const TIMER: &str = "perf_swevent_hrtimer";
/// Time between two samples, nanoseconds: such as an emulated machine keeps up with.
const PERIOD: u64 = 50_000_000;
/// How long the profiler lives.
const LIFE: Duration = Duration::from_secs(2);
/// Samples that must be there: a quarter of what there is time for.
const SAMPLES: usize = 10;

/// Times that a task comes to a watched CPU: where much else runs in the same entry, its list has no room for the task.
const ARRIVALS: usize = 3;
/// Where it goes in between: a CPU that no guest isolates.
const HOUSEKEEPING: u32 = 0;

/// Requests that a worker of `io_uring` does, and the time between two.
const REQUESTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                PROFILER,
                "a process that samples a watched CPU, or who runs there, is the origin of each sample",
            ),
            (
                GUEST,
                "a process that moves to a watched CPU and starts another there: both are named, with their parents",
            ),
            (
                WORKER,
                "a worker of io_uring that runs on a watched CPU is named as one, with its process, which had it come",
            ),
        ],
        run,
    }
}

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let mut load = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    let tracer = Tracer::start::<&str>(&[])?;
    load.begin()?;
    let of_cpu = Window::around(&bench.guest, || {
        in_child(&["profile", "-1", &cpu.to_string()])
    })?;
    let of_task = Window::around(&bench.guest, || {
        in_child(&["profile", &load.pid().to_string(), "-1"])
    })?;
    let (came, guest) = Window::around(&bench.guest, || in_child(&["come", &cpu.to_string()]))?;
    let worked = Window::around(&bench.guest, || in_child(&["punt", &cpu.to_string()]));
    drop(load);
    let log = bench.finish(tracer)?;
    let outcome = worked.and_then(|(window, owner)| worker_of(&window.breaches(&log, cpu), owner));
    bench.outcome(WORKER, outcome)?;
    let outcome = came_and_forked(&came.breaches(&log, cpu), guest);
    bench.outcome(GUEST, outcome)?;
    let said = [of_cpu, of_task].map(|(window, profiler)| {
        let breaches = window.breaches(&log, cpu);
        let samples = breaches.iter().filter(|one| is_sample(one));
        judge(&samples.copied().collect::<Vec<_>>(), profiler)
    });
    let [of_cpu, of_task] = said;
    let outcome = of_cpu.and_then(|cpu| Ok(format!("of the CPU {cpu}, of the task {}", of_task?)));
    bench.outcome(PROFILER, outcome)
}

/// What the profiler does: it samples by the clock, and looks at no sample.
pub fn profile(tid: i32, cpu: i32) -> Result<()> {
    let attr = PerfAttr {
        kind: sys::PERF_TYPE_SOFTWARE,
        config: sys::PERF_COUNT_SW_CPU_CLOCK,
        sample_period: PERIOD,
        ..PerfAttr::default()
    };
    let _event = sys::perf_event(&attr, tid, cpu)?;
    thread::sleep(LIFE);
    Ok(())
}

/// What a task does that comes to a watched CPU: it moves there, and starts a process.
pub fn come(cpu: u32) -> Result<()> {
    for _ in 0..ARRIVALS {
        sys::pin(0, &[cpu])?;
        let started = Command::new(env::current_exe()?)
            .args(["command", "status", "0"])
            .status()?;
        ensure!(started.success(), "the process ends with {started}");
        sys::pin(0, &[HOUSEKEEPING])?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// What a process does that has the kernel's workers do its requests on a watched CPU.
pub fn punt(cpu: u32) -> Result<()> {
    let ring = Ring::with_workers_on(cpu).map_err(|error| match Ring::refusal(&error) {
        Some(why) => anyhow!(why),
        None => anyhow!("io_uring: {error}"),
    })?;
    for _ in 0..REQUESTS {
        ring.punt()?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// A number that the log has of a task that ran.
fn number(item: &Activity, key: &str) -> Option<u32> {
    u32::try_from(item.more.get(key)?.as_u64()?).ok()
}

/// The process that made the process of a task that ran.
fn parent(item: &Activity) -> Option<u32> {
    u32::try_from(item.more.get("parent")?.get("pid")?.as_u64()?).ok()
}

/// The worker that ran is named as one of its process, and that process had it come each time.
fn worker_of(breaches: &[&Breach], owner: u32) -> Result<String> {
    let switches = breaches.iter().flat_map(|breach| {
        let items = breach.activity.iter().filter(|it| it.kind == "switch");
        items.map(move |item| (*breach, item))
    });
    let theirs: Vec<_> = switches
        .filter(|(_, item)| number(item, "pid") == Some(owner))
        .collect();
    let is_worker = |item: &Activity| {
        item.more.get("worker") == Some(&Value::Bool(true))
            && number(item, "tid").is_some_and(|tid| tid != owner)
            && parent(item) == Some(std::process::id())
    };
    for (breach, item) in &theirs {
        ensure!(is_worker(item), "what ran of {owner} is {item:?}");
        let is_own = breach.origins.iter().any(|origin| origin.kind == "task");
        ensure!(!is_own, "the origins are {:?}", breach.origins);
    }
    // It takes its name itself, when it has begun to run (io_wq_worker, io_uring/io-wq.c, v6.12).
    let name = format!("iou-wrk-{owner}");
    let last = theirs.last().and_then(|(_, item)| item.more.get("comm"));
    ensure!(
        last.and_then(Value::as_str) == Some(&name),
        "the worker is not called {name} but {last:?}"
    );
    let by_owner = |origin: &Origin| origin.kind == "remote" && origin.pid == Some(owner);
    let brought = theirs.iter().filter(|(breach, item)| {
        let mut origins = breach.origins.iter().chain(&item.origin);
        origins.any(by_owner)
    });
    let brought = brought.count();
    ensure!(
        brought >= REQUESTS,
        "{owner} had its worker run {brought} times, for {REQUESTS} requests: {theirs:?}"
    );
    Ok(format!("{} switches", theirs.len()))
}

/// Who came, and what it started, by the switches to them and who triggered those.
fn came_and_forked(breaches: &[&Breach], guest: u32) -> Result<String> {
    let switches = || {
        breaches.iter().flat_map(|breach| {
            let items = breach.activity.iter().filter(|it| it.kind == "switch");
            items.map(move |item| (breach, item))
        })
    };
    let is_by = |origin: &Origin, via: &str| {
        origin.via.as_deref() == Some(via) && origin.pid == Some(guest)
    };
    let brought = |breach: &Breach, item: &Activity, via: &str| {
        let mut origins = breach.origins.iter().chain(&item.origin);
        origins.any(|origin| is_by(origin, via))
    };
    let said = || format!("{:?}", switches().collect::<Vec<_>>());
    let moved = switches().any(|(breach, item)| {
        number(item, "tid") == Some(guest)
            && parent(item) == Some(std::process::id())
            && brought(breach, item, "move")
    });
    ensure!(moved, "nobody moved here: {}", said());
    let forked = switches().any(|(breach, item)| {
        number(item, "tid") != Some(guest)
            && parent(item) == Some(guest)
            && brought(breach, item, "fork")
    });
    ensure!(forked, "nobody was made here: {}", said());
    Ok(format!("{} switches", switches().count()))
}

/// Whether a timer interrupt took a sample.
fn is_sample(breach: &Breach) -> bool {
    let is_its_timer = |name: &Option<String>| name.as_deref() == Some(TIMER);
    breach.cause.kind == "local_timer" && breach.activity.iter().any(|it| is_its_timer(&it.name))
}

fn judge(samples: &[&Breach], profiler: u32) -> Result<String> {
    let is_the_profilers = |origin: &Origin| {
        origin.kind == "kernel"
            && origin.via.as_deref() == Some("perf_event")
            && origin.pid == Some(profiler)
            && origin.comm.as_deref() == Some(super::COMM)
            && origin.callback.as_deref() == Some(TIMER)
    };
    for sample in samples {
        if !sample.origins.iter().any(is_the_profilers) {
            bail!(
                "a sample of {profiler} has the origins {:?}",
                sample.origins
            );
        }
    }
    ensure!(
        samples.len() >= SAMPLES,
        "{} samples, expected {SAMPLES}",
        samples.len()
    );
    Ok(format!("{} samples", samples.len()))
}
