//! What a system call costs with each contender attached, all in one run.

use std::{thread, time::Duration};

use anyhow::Result;
use isol_trace_guest::syscalls::{self, Shape};

use super::{
    contender::{Contender, Setting},
    figures::{Samples, shown},
    report::Table,
};
use crate::say::say;

/// Calls of a batch: their records fit the ring with room to spare, so that what is timed is a
/// full record.
const CALLS: u32 = 4000;

/// Between two batches: the ring is empty again.
const PAUSE: Duration = Duration::from_millis(15);

/// One row under way.
#[derive(Debug)]
pub(super) struct Row {
    contender: Contender,
    watched: Samples,
    housekeeping: Samples,
    lost: u64,
    missing: Option<String>,
}

impl Row {
    /// Nanoseconds that it adds to a call of the watched CPU.
    pub(super) fn added(&self, nothing: &Self) -> Option<f64> {
        Some(self.watched.best()? - nothing.watched.best()?)
    }

    /// The same for a housekeeping CPU.
    pub(super) fn added_elsewhere(&self, nothing: &Self) -> Option<f64> {
        Some(self.housekeeping.best()? - nothing.housekeeping.best()?)
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Times that every contender is attached.
    pub(super) rounds: u32,
    /// Batches on each CPU each time.
    pub(super) batches: usize,
}

/// Measures every contender in turn, again and again.
pub(super) fn measure(place: &Setting, housekeeping: u32, extent: Extent) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Contender::ALL
        .into_iter()
        .map(|contender| Row {
            contender,
            watched: Samples::default(),
            housekeeping: Samples::default(),
            lost: 0,
            missing: None,
        })
        .collect();
    for round in 1..=extent.rounds {
        say(format!(
            "bench: system calls, round {round} of {}",
            extent.rounds
        ));
        for row in &mut rows {
            if row.missing.is_some() {
                continue;
            }
            let running = match row.contender.start(place) {
                Ok(running) => running,
                Err(error) => {
                    let name = row.contender.name(place.watched);
                    say(format!("bench: {name}: {error:#}"));
                    row.missing = Some(format!("{error:#}"));
                    continue;
                }
            };
            row.watched.add(on_cpu(place.watched, extent)?);
            row.housekeeping.add(on_cpu(housekeeping, extent)?);
            row.lost += running.stop()?.unwrap_or(0);
        }
    }
    Ok(rows)
}

/// Nanoseconds a call by the thread's own clock.
fn on_cpu(cpu: u32, extent: Extent) -> Result<Vec<f64>> {
    let shape = Shape {
        cpu: cpu as usize,
        batches: extent.batches,
        calls: CALLS,
        pause: PAUSE,
    };
    let batches = thread::spawn(move || syscalls::run(&shape))
        .join()
        .map_err(|_panic| anyhow::anyhow!("the timed loop failed"))??;
    Ok(batches.iter().map(|batch| batch.thread_ns).collect())
}

/// The row that ours is compared with.
pub(super) fn ftrace(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.contender == Contender::Ftrace)
}

/// The table.
pub(super) fn report(rows: &[Row], watched: u32, table: &mut Table) {
    let Some((nothing, _)) = rows.split_first() else {
        return;
    };
    let ftrace = ftrace(rows).and_then(|row| row.added(nothing));
    table.head(&[
        "attached",
        "watched: ns a call",
        "median",
        "added",
        "of ftrace's",
        "housekeeping: ns a call",
        "median",
        "added",
    ]);
    for row in rows {
        let name = row.contender.name(watched);
        if let Some(why) = &row.missing {
            table.row(&[&format!("{name}: {why}"), "–", "–", "–", "–", "–", "–", "–"]);
            continue;
        }
        let is_nothing = row.contender == Contender::Nothing;
        let added = row.added(nothing).filter(|_| !is_nothing);
        let elsewhere = row.added_elsewhere(nothing).filter(|_| !is_nothing);
        let share = added.zip(ftrace).map(|(ours, theirs)| ours / theirs);
        let name = if row.contender == Contender::Ours {
            format!("{name}, {} lost", row.lost)
        } else {
            name
        };
        table.row(&[
            &name,
            &shown(row.watched.best(), 1),
            &shown(row.watched.median(), 1),
            &shown(added, 1),
            &shown(share, 2),
            &shown(row.housekeeping.best(), 1),
            &shown(row.housekeeping.median(), 1),
            &shown(elsewhere, 1),
        ]);
    }
}
