//! The tests of causes: every trigger under one tracer, each judged by its window of the log.

use anyhow::Result;

use super::{
    bench::{Bench, Group},
    driver::{Performed, judge, perform},
    guest::TooLate,
    results::Verdict,
    tracer::Tracer,
    trigger::{self, Trigger},
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: trigger::all()
            .iter()
            .map(|one| (one.name, one.about))
            .collect(),
        run,
    }
}

fn run(bench: &mut Bench) -> Result<()> {
    let wanted: Vec<Trigger> = trigger::all()
        .into_iter()
        .filter(|one| bench.wants(one.name))
        .collect();
    // What the kernel does on its own now and then falls into a window: such a
    // trigger is performed once more, and must then be alone.
    let again = session(bench, &wanted, true)?;
    if !again.is_empty() {
        session(bench, &again, false)?;
    }
    Ok(())
}

/// Performs and judges; answers those that deserve a second try.
fn session(bench: &mut Bench, wanted: &[Trigger], first: bool) -> Result<Vec<Trigger>> {
    let tracer = Tracer::start::<&str>(&[])?;
    let mut performed: Vec<(Trigger, Result<Performed>)> = Vec::new();
    for &trigger in wanted {
        performed.push((trigger, perform(&bench.guest, &trigger)));
    }
    let log = bench.finish(tracer)?;
    let mut again = Vec::new();
    for (trigger, performed) in performed {
        let verdict = match performed {
            Ok(performed) => {
                let judged = judge(&bench.guest, &performed, &log, true);
                if first && judged.only_noise() {
                    again.push(trigger);
                    continue;
                }
                judged.verdict(if first { "" } else { "at the second try" })
            }
            Err(error) if first && error.is::<TooLate>() => {
                again.push(trigger);
                continue;
            }
            Err(error) => Verdict::of(Err(error)),
        };
        bench.verdict(trigger.name, &verdict)?;
    }
    Ok(again)
}
