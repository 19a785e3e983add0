//! What the project wants of each figure, whether it is reached, and what limits it where it is not.

use super::{
    cargo::Drained,
    figures::{grouped, shown},
    guest::Counted,
    ours_and_nothing,
    reader::{Step, Use, fastest},
    recorder::Account,
    report::Table,
    syscalls::{Row, ftrace},
};

/// Everything that one run measures.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) rows: Vec<Row>,
    pub(super) programs: Account,
    pub(super) idle: Use,
    pub(super) storm: Use,
    pub(super) rates: Vec<Step>,
    pub(super) drained: Drained,
    pub(super) json: f64,
    pub(super) counted: Option<Counted>,
    pub(super) size: u64,
}

/// One goal.
struct Goal {
    what: &'static str,
    measured: String,
    wanted: &'static str,
    /// `None` where it was not measured.
    reached: Option<bool>,
    /// What stands in the way.
    limit: &'static str,
}

/// Entries a second from one CPU, drained and decoded.
const DRAINED: f64 = 4e6;

/// JSON records a second on one core.
const JSON: f64 = 1e6;

/// Anonymous memory beside the rings, KiB.
const ANONYMOUS: u64 = 32 * 1024;

/// The reader's share of a CPU when nothing happens.
const IDLE: f64 = 0.01;

fn goals(measured: &Measured) -> Vec<Goal> {
    let added = ours_and_nothing(&measured.rows).and_then(|(ours, nothing)| {
        let theirs = ftrace(&measured.rows)?.added(nothing)?;
        Some(ours.added(nothing)? / theirs)
    });
    let housekeeping = measured
        .counted
        .map(|counted| counted.housekeeping.1 - counted.housekeeping.0);
    let counted = measured.rates.iter().filter(|step| step.counted).count();
    let drained = measured.drained;
    let whole = drained.lost == 0 && drained.malformed == 0;
    let anonymous = measured
        .idle
        .memory
        .anonymous
        .max(measured.storm.memory.anonymous);
    vec![
        Goal {
            what: "full record on the watched CPU, of what ftrace's two bare events add",
            measured: shown(added, 2),
            wanted: "≤ 1.00",
            reached: added.map(|share| share <= 1.0),
            limit: "two programs, two clock reads, a ring reservation and a record of 96 bytes",
        },
        Goal {
            what: "the same, 20 % less",
            measured: shown(added, 2),
            wanted: "≤ 0.80",
            reached: added.map(|share| share <= 0.8),
            limit: "two dispatches, two readings of the clock, and each entry posted to the ledger and written to a ring",
        },
        Goal {
            what: "housekeeping system call under context tracking, instructions added",
            measured: shown(housekeeping, 1),
            wanted: "0",
            reached: housekeeping.map(|added| added.abs() < 0.05),
            limit: "a probe is attached to the path of every system call",
        },
        Goal {
            what: "entries a second drained and decoded from one CPU while it makes them",
            measured: lossless(drained.produced, whole),
            wanted: "≥ 4,000,000, none lost",
            reached: Some(whole && drained.produced >= DRAINED),
            limit: "the CPU itself: a traced call takes longer than 250 ns, or the reader shares its CPU",
        },
        Goal {
            what: "entries a second drained and decoded from a full ring",
            measured: grouped(drained.burst),
            wanted: "≥ 4,000,000",
            reached: Some(drained.burst >= DRAINED),
            limit: "each entry becomes a breach on the heap before anybody asks for its parts",
        },
        Goal {
            what: "JSON records a second on one core",
            measured: grouped(measured.json),
            wanted: "≥ 1,000,000",
            reached: Some(measured.json >= JSON),
            limit: "formatting some 400 bytes a record",
        },
        Goal {
            what: "breaches a second recorded as JSON without loss, at most",
            measured: fastest(&measured.rates).map_or_else(|| "–".to_owned(), grouped),
            wanted: "–",
            reached: None,
            limit: "",
        },
        Goal {
            what: "rates at which every entry was in the totals, lost records or not",
            measured: format!("{counted} of {}", measured.rates.len()),
            wanted: "all",
            reached: Some(counted == measured.rates.len()),
            limit: "a defect",
        },
        Goal {
            what: "anonymous memory beside the rings, idle or storm, MiB",
            measured: shown(Some(anonymous as f64 / 1024.0), 1),
            wanted: "< 32",
            reached: Some(anonymous < ANONYMOUS),
            limit: "names and places that the reader keeps",
        },
        Goal {
            what: "the reader when nothing happens, share of a CPU",
            measured: shown(Some(measured.idle.share * 100.0), 2) + " %",
            wanted: "< 1 %",
            reached: Some(measured.idle.share < IDLE),
            limit: "how often it looks at the rings: a full ring must not wait for it",
        },
        Goal {
            what: "the binary with its debug information, MiB",
            measured: shown(Some(measured.size as f64 / f64::from(1 << 20)), 1),
            wanted: "–",
            reached: None,
            limit: "",
        },
    ]
}

fn lossless(rate: f64, whole: bool) -> String {
    let rate = grouped(rate);
    if whole {
        rate
    } else {
        format!("{rate}, with loss")
    }
}

/// The goals in a table.
pub(super) fn table(measured: &Measured, table: &mut Table) {
    table.head(&["figure", "measured", "wanted", "reached"]);
    for goal in goals(measured) {
        let reached = match goal.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        table.row(&[goal.what, &goal.measured, goal.wanted, reached]);
    }
}

/// What limits those that are not reached.
pub(super) fn limits(measured: &Measured) -> Vec<String> {
    goals(measured)
        .iter()
        .filter(|goal| goal.reached == Some(false))
        .map(|goal| {
            format!(
                "Not reached: {}. What limits it: {}.",
                goal.what, goal.limit
            )
        })
        .collect()
}

/// Programs by the time that they took.
pub(super) fn programs(account: &Account, table: &mut Table) {
    table.head(&["program", "runs", "ns a run"]);
    let mut programs = account.programs.clone();
    programs.sort_by_key(|&(_, _, ns)| std::cmp::Reverse(ns));
    for (name, runs, ns) in programs {
        table.row(&[
            &name,
            &grouped(runs as f64),
            &shown((runs > 0).then(|| ns as f64 / runs as f64), 1),
        ]);
    }
}
