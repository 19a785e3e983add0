//! The tests of causes: every provocation under one tracer, each judged by its window of the log.

use anyhow::Result;

use super::{
    bench::{Bench, Group},
    director::{Performed, judge, perform},
    guest::TooLate,
    provoke::{self, Provocation},
    results::Verdict,
    tracer::Tracer,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: provoke::all()
            .iter()
            .map(|one| (one.name, one.about))
            .collect(),
        run,
    }
}

fn run(bench: &mut Bench) -> Result<()> {
    let wanted: Vec<Provocation> = provoke::all()
        .into_iter()
        .filter(|one| bench.wants(one.name))
        .collect();
    // What the kernel does on its own now and then falls into a window: such a
    // provocation is performed once more, and must then be alone.
    let again = session(bench, &wanted, true)?;
    if !again.is_empty() {
        session(bench, &again, false)?;
    }
    Ok(())
}

/// Performs and judges; answers those that deserve a second try.
fn session(bench: &mut Bench, wanted: &[Provocation], first: bool) -> Result<Vec<Provocation>> {
    let tracer = Tracer::start::<&str>(&[])?;
    let mut performed: Vec<(Provocation, Result<Performed>)> = Vec::new();
    for &provocation in wanted {
        performed.push((provocation, perform(&bench.guest, &provocation)));
    }
    let log = bench.finish(tracer)?;
    let mut again = Vec::new();
    for (provocation, performed) in performed {
        let verdict = match performed {
            Ok(performed) => {
                let judged = judge(&bench.guest, &performed, &log, true);
                if first && judged.only_noise() {
                    again.push(provocation);
                    continue;
                }
                judged.verdict(if first { "" } else { "at the second try" })
            }
            Err(error) if first && error.is::<TooLate>() => {
                again.push(provocation);
                continue;
            }
            Err(error) => Verdict::of(Err(error)),
        };
        bench.verdict(provocation.name, &verdict)?;
    }
    Ok(again)
}
