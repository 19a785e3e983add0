//! What is left out of the log, and counted all the same.

use anyhow::{Result, ensure};

use super::{
    bench::{Bench, Group},
    guest::skip,
    load::Load,
    log::Log,
    tracer::Tracer,
    trigger::load,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                "filter_pid",
                "--pid: other processes' entries are counted as filtered",
            ),
            (
                "filter_comm",
                "--comm: other threads' entries are counted as filtered",
            ),
            ("filter_cpus", "--cpus: another isolated CPU is left alone"),
        ],
        run,
    }
}

const CALLS: u64 = 400;

/// The filter's options and values, for a load on the first of two CPUs.
type Arguments = fn(&Load, [u32; 2]) -> Vec<String>;

fn run(bench: &mut Bench) -> Result<()> {
    let Some(second) = bench.guest.second() else {
        return skip("there is one watched CPU only");
    };
    let first = bench.guest.cpu();
    let tests: [(&'static str, Arguments); 3] = [
        // Without CPUs, those are watched that the process may run on.
        ("filter_pid", |load, [first, second]| {
            let cpus = format!("--cpus={first},{second}");
            vec![format!("--pid={}", load.pid()), cpus]
        }),
        ("filter_comm", |_, _| vec![format!("--comm={}", load::NAME)]),
        ("filter_cpus", |_, [first, _]| {
            vec![format!("--cpus={first}")]
        }),
    ];
    for (name, arguments) in tests {
        if !bench.wants(name) {
            continue;
        }
        let mut wanted = Load::start(&bench.guest, load::NAMED_CALLS, first, CALLS)?;
        let mut other = Load::start(&bench.guest, load::CALLS, second, CALLS)?;
        let tracer = Tracer::start(&arguments(&wanted, [first, second]))?;
        let done = (wanted.perform()?, other.perform()?);
        let log = bench.finish(tracer)?;
        let outcome = judge(name, &log, (first, wanted.pid()), second, done);
        bench.outcome(name, outcome)?;
    }
    Ok(())
}

fn judge(
    name: &str,
    log: &Log,
    (first, pid): (u32, u32),
    second: u32,
    (wanted, other): (u64, u64),
) -> Result<String> {
    ensure!(
        wanted == CALLS && other == CALLS,
        "the loads did {wanted} and {other} calls"
    );
    for breach in &log.breaches {
        ensure!(
            breach.cpu == first && breach.task.pid == Some(pid),
            "a breach of process {:?} on CPU {} is in the log",
            breach.task.pid,
            breach.cpu
        );
        ensure!(
            breach.task.comm.as_deref() == Some(load::NAME),
            "process {pid} is called {:?}",
            breach.task.comm
        );
    }
    let calls = |cause: &str| {
        let of_cause = log.breaches.iter().filter(|one| one.cause.kind == cause);
        of_cause.count() as u64
    };
    ensure!(
        calls("syscall") == wanted,
        "{wanted} calls were made, {} are in the log",
        calls("syscall")
    );
    if name == "filter_cpus" {
        ensure!(
            log.summary()?.cpu(second).is_none(),
            "the summary speaks of CPU {second}"
        );
        ensure!(log.header()?.cpus.len() == 1, "the header names other CPUs");
        return Ok(String::new());
    }
    let left_out = log.totals(second)?;
    ensure!(
        left_out.filtered >= other && left_out.filtered == left_out.entries,
        "CPU {second}: {other} calls were made, {} of {} entries filtered",
        left_out.filtered,
        left_out.entries
    );
    ensure!(
        log.totals(first)?.filtered == 0,
        "entries of the wanted process are filtered"
    );
    Ok(format!("{} filtered", left_out.filtered))
}
