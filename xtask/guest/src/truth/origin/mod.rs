//! Who did it: senders that are known beforehand, alone, together, in bursts, and gone.

mod owner;
mod scenario;

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use self::scenario::{BURST, EACH, Scenario, UNMAPPED};
pub use self::{
    owner::{come, group as owners, profile, punt},
    scenario::flip_once,
};
use super::{
    bench::{Bench, Group},
    guest::skip,
    load::Load,
    log::{Log, Origin},
    tracer::Tracer,
    trigger::load,
};

const BURST_OF_ONE: &str = "origin_burst";
const TWO_SENDERS: &str = "origin_two_senders";
const EXITED: &str = "origin_exited";
const MULTICAST: &str = "origin_multicast";
const TWO_MULTICASTS: &str = "origin_two_multicasts";
const SHARED_CSD: &str = "origin_shared_csd";
const WATCHED: &str = "origin_watched";
const USER_STACK: &str = "origin_user_stack";

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                BURST_OF_ONE,
                "one sender, one call after the other by the same csd: each has its origin",
            ),
            (
                TWO_SENDERS,
                "two threads on two CPUs at once: each call is its own thread's",
            ),
            (
                EXITED,
                "a sender that is gone before anybody asks is named all the same",
            ),
            (
                MULTICAST,
                "calls to every CPU: each watched one has the same sender, as often as it was called",
            ),
            (
                TWO_MULTICASTS,
                "two threads call both watched CPUs at once: each call is its own thread's, on both",
            ),
            (
                SHARED_CSD,
                "two threads of one CPU call by the same csds in turn: each call is its own thread's",
            ),
            (
                WATCHED,
                "a sender on another watched CPU is named, with the system call that it was in",
            ),
            (
                USER_STACK,
                "on request a sender has the stack of its program",
            ),
        ],
        run,
    }
}

/// What was done, one scenario after the other.
struct Scenarios {
    burst: Scenario,
    pair: Scenario,
    child: Scenario,
    flips: Scenario,
    multicasts: Scenario,
    shared: Scenario,
    sibling: Scenario,
    paced: Scenario,
}

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let Some(second) = bench.guest.second() else {
        return skip("there is one watched CPU only");
    };
    let places = scenario::two_places(bench)?;
    let mut first_load = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    let mut second_load = Load::start(&bench.guest, load::SPIN, second, 0)?;
    let tracer = Tracer::start::<&str>(&["--user-stacks"])?;
    first_load.begin()?;
    second_load.begin()?;
    let burst = scenario::burst(bench, cpu)?;
    let pair = scenario::two_senders(bench, cpu)?;
    let child = scenario::exited(bench, &tracer, cpu)?;
    let flips = scenario::multicast(bench)?;
    drop((first_load, second_load));
    let scenarios = Scenarios {
        burst,
        pair,
        child,
        flips,
        multicasts: scenario::membarriers(bench, &places)?,
        shared: scenario::membarriers(bench, &[places[0]; 2])?,
        sibling: scenario::unmap_on(bench, second, cpu)?,
        paced: scenario::paced(bench, &tracer, cpu, has_stack)?,
    };
    let log = bench.finish(tracer)?;
    let asker = Asker {
        pid: std::process::id(),
        cpus: bench.guest.housekeeping.clone(),
        missed: missed_runs(&log)?,
        by_tracepoint: bench.guest.names_calls(),
        callback: "remote_function",
        through: "ioctl",
    };
    let stacks = user_stacks(&scenarios.paced, &log, cpu);
    one_cpu(bench, &scenarios, &log, &asker)?;
    both_cpus(bench, &scenarios, &log, &asker)?;
    bench.outcome(USER_STACK, stacks)
}

/// Calls to the first watched CPU.
fn one_cpu(bench: &mut Bench, scenarios: &Scenarios, log: &Log, asker: &Asker) -> Result<()> {
    let cpu = bench.guest.cpu();
    let outcome = scenarios.burst.origins(log, cpu).and_then(|origins| {
        let expected = BTreeMap::from([(scenarios.burst.threads[0], BURST)]);
        asker.by_thread(&asker.named(origins)?, &expected)
    });
    bench.outcome(BURST_OF_ONE, outcome)?;
    let outcome = scenarios
        .pair
        .origins(log, cpu)
        .and_then(|origins| asker.by_thread(&asker.named(origins)?, &each(&scenarios.pair)));
    bench.outcome(TWO_SENDERS, outcome)?;
    let outcome = scenarios.child.origins(log, cpu).and_then(|origins| {
        ensure!(!origins.is_empty(), "the child called nobody");
        let child = Asker {
            pid: scenarios.child.threads[0],
            // To open the event, to change it, to close it.
            through: "",
            ..asker.clone()
        };
        Ok(format!("{} calls", child.named(origins)?.len()))
    });
    bench.outcome(EXITED, outcome)?;
    let outcome = scenarios.sibling.origins(log, cpu).and_then(|origins| {
        let sibling = Asker {
            cpus: bench.guest.second().into_iter().collect(),
            callback: "flush_tlb_func",
            through: "munmap",
            ..asker.clone()
        };
        let expected = BTreeMap::from([(scenarios.sibling.threads[0], UNMAPPED)]);
        sibling.by_thread(&sibling.named(origins)?, &expected)
    });
    bench.outcome(WATCHED, outcome)
}

/// Calls to several CPUs at once.
fn both_cpus(bench: &mut Bench, scenarios: &Scenarios, log: &Log, asker: &Asker) -> Result<()> {
    let writer = Asker {
        callback: "do_sync_core",
        through: "write",
        ..asker.clone()
    };
    let outcome = on_each(bench, |cpu| {
        let origins = writer.named(scenarios.flips.origins(log, cpu)?)?;
        writer.as_often_as_called(&origins, &scenarios.flips, cpu)
    });
    bench.outcome(MULTICAST, outcome)?;
    let barrier = Asker {
        callback: "ipi_mb",
        through: "membarrier",
        ..asker.clone()
    };
    for (name, scenario) in [
        (TWO_MULTICASTS, &scenarios.multicasts),
        (SHARED_CSD, &scenarios.shared),
    ] {
        let outcome = on_each(bench, |cpu| {
            let origins = barrier.named(scenario.origins(log, cpu)?)?;
            barrier.by_thread(&origins, &each(scenario))
        });
        bench.outcome(name, outcome)?;
    }
    Ok(())
}

/// A sender has the stack of its program. Which one of them has, is for the machine to say: where the tracer has to
/// compete for its CPU, most breaches are written before the stack of who made them is unwound (docs/limits.md).
fn user_stacks(paced: &Scenario, log: &Log, cpu: u32) -> Result<String> {
    let origins = paced.origins(log, cpu)?;
    let told = origins.iter().filter(|origin| has_stack(origin)).count();
    ensure!(
        told > 0,
        "none of {} origins says how the program got there; the last says {:?}",
        origins.len(),
        origins.last().map(|origin| &origin.user_stack)
    );
    Ok(format!("{told} of {} origins", origins.len()))
}

/// Whether it says how its program got to call.
fn has_stack(origin: &Origin) -> bool {
    ["flip", "paced"].iter().all(|function| {
        let mut frames = origin.user_stack.iter();
        frames.any(|frame| frame.contains(function))
    })
}

/// As many calls of each thread.
fn each(scenario: &Scenario) -> BTreeMap<u32, usize> {
    scenario.threads.iter().map(|&tid| (tid, EACH)).collect()
}

fn on_each(bench: &Bench, judge: impl Fn(u32) -> Result<String>) -> Result<String> {
    let said = bench.guest.watched.iter().map(|&cpu| {
        let said = judge(cpu)?;
        Ok(format!("CPU {cpu}: {said}"))
    });
    Ok(said.collect::<Result<Vec<_>>>()?.join(", "))
}

/// Runs of programs that the kernel skipped, and senders without room: as many origins may be unknown.
fn missed_runs(log: &Log) -> Result<u64> {
    let tracer = &log.summary()?.tracer;
    let missed: u64 = tracer.missed_runs.values().sum();
    Ok(missed + tracer.lost_senders)
}

/// The name of this program's threads.
const COMM: &str = "truth";

/// Who must have asked for every call.
#[derive(Clone, Debug)]
struct Asker {
    pid: u32,
    /// The CPUs that it was on.
    cpus: Vec<u32>,
    /// As many of its calls may be unknown.
    missed: u64,
    /// The kernel has a tracepoint where calls are queued. Where it has none (before 6.5), a sender
    /// is inferred, and one of several is unknown.
    by_tracepoint: bool,
    /// The function that it asked for.
    callback: &'static str,
    /// Part of the name of a function on its stack.
    through: &'static str,
}

impl Asker {
    /// Every origin of such a call is this one, save as many unknown ones as runs were missed. Gives
    /// the others. The kernel's own calls of other functions are not looked at.
    fn named<'a>(&self, origins: Vec<&'a Origin>) -> Result<Vec<&'a Origin>> {
        let (unknown, mut origins): (Vec<_>, Vec<_>) =
            origins.into_iter().partition(|one| one.kind == "unknown");
        let other = |one: &&Origin| {
            one.callback
                .as_deref()
                .is_some_and(|it| it != self.callback)
        };
        origins.retain(|one| !other(one));
        ensure!(
            !self.by_tracepoint || unknown.len() as u64 <= self.missed,
            "{} origins are unknown, and {} runs were missed",
            unknown.len(),
            self.missed
        );
        let strange: Vec<_> = origins.iter().filter(|one| !self.is(one)).collect();
        if let Some(first) = strange.first() {
            bail!(
                "{} of {} origins are not {self:?}, such as {first:?}",
                strange.len(),
                origins.len()
            );
        }
        Ok(origins)
    }

    fn is(&self, origin: &Origin) -> bool {
        origin.kind == "remote"
            && origin.pid == Some(self.pid)
            && origin.comm.as_deref() == Some(COMM)
            && origin.cpu.is_some_and(|cpu| self.cpus.contains(&cpu))
            && origin.inferred == Some(!self.by_tracepoint)
            && origin.callback.as_deref() == Some(self.callback)
            && origin.stack.iter().any(|at| at.contains(self.through))
    }

    /// So many calls of each thread.
    fn by_thread(&self, origins: &[&Origin], expected: &BTreeMap<u32, usize>) -> Result<String> {
        let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
        for origin in origins {
            *seen.entry(origin.tid.unwrap_or(0)).or_default() += 1;
        }
        let too_many =
            |(tid, &seen): (&u32, &usize)| expected.get(tid).is_none_or(|&made| seen > made);
        let made: usize = expected.values().sum();
        let enough = !self.by_tracepoint || origins.len() as u64 + self.missed >= made as u64;
        ensure!(
            !seen.iter().any(too_many) && enough,
            "calls by thread: {seen:?}, made were {expected:?}"
        );
        Ok(format!(
            "{} calls, {} runs missed",
            origins.len(),
            self.missed
        ))
    }

    /// As many as the kernel counted.
    fn as_often_as_called(
        &self,
        origins: &[&Origin],
        scenario: &Scenario,
        cpu: u32,
    ) -> Result<String> {
        let calls = scenario.window.count("CAL", cpu);
        let seen = origins.len() as u64;
        ensure!(
            calls > 0 && seen <= calls && (!self.by_tracepoint || calls <= seen + self.missed),
            "{seen} origins, and /proc/interrupts has {calls} calls"
        );
        Ok(format!("{calls} calls"))
    }
}
