//! The control: a task that nobody disturbs has no breach at all.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    bench::{Bench, Group},
    load::Load,
    tracer::Tracer,
    trigger::load,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![(
            "quiet_control",
            "an untouched spinner on a quieted CPU for 10 s: exactly zero breaches",
        )],
        run,
    }
}

const TIME: Duration = Duration::from_secs(10);

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let spinner = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    let tracer = Tracer::start::<&str>(&[])?;
    let watched: Vec<u32> = tracer.header().cpus.iter().map(|cpu| cpu.cpu).collect();
    thread::sleep(TIME);
    let log = bench.finish(tracer)?;
    drop(spinner);
    let outcome = || -> Result<String> {
        ensure!(
            watched == bench.guest.watched,
            "CPUs {watched:?} are watched by default, isolated are {:?}",
            bench.guest.watched
        );
        // First: they say who it was.
        ensure!(
            log.breaches.is_empty(),
            "the log has breaches: {}",
            serde_json::to_string(&log.breaches)?
        );
        for &cpu in &watched {
            let totals = log.totals(cpu)?;
            ensure!(
                totals.entries == 0 && totals.open == 0,
                "the summary has {} entries of CPU {cpu}",
                totals.entries
            );
        }
        Ok(String::new())
    };
    let outcome = outcome();
    bench.outcome("quiet_control", outcome)
}
