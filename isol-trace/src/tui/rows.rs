//! The rows of the tables, made from the [`Model`] and put in order.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use isol_trace_common::cause::Cause;

use super::model::{Kept, Last, Model};
use crate::event::{
    ids::{Cpu, Nanos},
    model::Detection,
};

/// A column by which a table can be put in order.
pub trait Column: Copy + Eq + Sized + 'static {
    /// Every such column, in the order in which a key steps through them.
    const ALL: &'static [Self];

    /// The next one.
    #[must_use]
    fn next(self) -> Self {
        let index = Self::ALL.iter().position(|&column| column == self);
        let next = index.map_or(0, |index| index + 1) % Self::ALL.len();
        Self::ALL.get(next).copied().unwrap_or(self)
    }

    /// Where it stands in [`Column::ALL`].
    #[must_use]
    fn index(self) -> usize {
        let mut all = Self::ALL.iter();
        all.position(|&column| column == self).unwrap_or(0)
    }

    /// Names and numbers begin with the least, figures with the greatest.
    fn greatest_first(self) -> bool;
}

/// How a table is put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<C> {
    /// By what.
    pub by: C,
    /// Against that column's usual direction.
    pub reversed: bool,
}

impl<C: Column> Order<C> {
    /// By a column, in its usual direction.
    #[must_use]
    pub const fn by(by: C) -> Self {
        Self {
            by,
            reversed: false,
        }
    }

    /// Steps to the next column.
    pub fn step(&mut self) {
        *self = Self::by(self.by.next());
    }

    /// The greatest comes first.
    #[must_use]
    pub fn descending(self) -> bool {
        self.by.greatest_first() != self.reversed
    }

    fn apply(self, ordering: Ordering) -> Ordering {
        if self.descending() {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

/// Columns of the CPU table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuColumn {
    /// Number.
    Cpu,
    /// Entries a second.
    Rate,
    /// Entries.
    Total,
    /// The longest.
    Worst,
    /// Share of time in the kernel.
    Share,
}

impl Column for CpuColumn {
    const ALL: &'static [Self] = &[Self::Cpu, Self::Rate, Self::Total, Self::Worst, Self::Share];

    fn greatest_first(self) -> bool {
        self != Self::Cpu
    }
}

/// Columns of the causes table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseColumn {
    /// Breaches.
    Count,
    /// Breaches a second.
    Rate,
    /// Their time in sum.
    Time,
    /// The 99th percentile.
    P99,
    /// The longest.
    Max,
    /// Name.
    Name,
}

impl Column for CauseColumn {
    const ALL: &'static [Self] = &[
        Self::Count,
        Self::Rate,
        Self::Time,
        Self::P99,
        Self::Max,
        Self::Name,
    ];

    fn greatest_first(self) -> bool {
        self != Self::Name
    }
}

/// Columns of the list of breaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreachColumn {
    /// When.
    Time,
    /// How long.
    Duration,
    /// On which CPU.
    Cpu,
    /// Why.
    Cause,
}

impl Column for BreachColumn {
    const ALL: &'static [Self] = &[Self::Time, Self::Duration, Self::Cpu, Self::Cause];

    fn greatest_first(self) -> bool {
        matches!(self, Self::Time | Self::Duration)
    }
}

/// What the lists are narrowed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// This CPU (causes and breaches).
    pub cpu: Option<Cpu>,
    /// This cause (breaches).
    pub cause: Option<Cause>,
}

impl Only {
    /// Leaves breaches out.
    #[must_use]
    pub const fn narrows(self) -> bool {
        self.cpu.is_some() || self.cause.is_some()
    }
}

/// A row of the CPU table.
#[derive(Clone, Debug)]
pub struct CpuRow {
    /// The CPU.
    pub cpu: Cpu,
    /// How its entries are found.
    pub detection: Option<Detection>,
    /// Its last breach.
    pub last: Option<Last>,
    /// Entries a second.
    pub rate: Option<f64>,
    /// Entries.
    pub total: Option<u64>,
    /// The longest; `None` without an entry.
    pub worst: Option<Nanos>,
    /// Share of the last seconds in the kernel.
    pub share: Option<f64>,
    /// How long it has not entered the kernel.
    pub quiet: Option<Nanos>,
    /// It is in the kernel.
    pub open: bool,
    /// Records lost.
    pub lost: Option<u64>,
    /// Entries without a cause.
    pub unattributed: Option<u64>,
    /// Entries that a filter left out.
    pub filtered: Option<u64>,
}

/// The rows of the CPU table.
#[must_use]
pub fn cpus(model: &Model, order: Order<CpuColumn>) -> Vec<CpuRow> {
    let mut watched: BTreeMap<Cpu, Option<Detection>> = BTreeMap::new();
    if let Some(totals) = &model.totals {
        watched.extend(totals.cpus.iter().map(|cpu| (cpu.cpu, None)));
    }
    if let Some(header) = &model.header {
        watched.extend(header.cpus.iter().map(|&(cpu, by)| (cpu, Some(by))));
    }
    let row = |(cpu, detection)| {
        let summary = model.cpu(cpu);
        CpuRow {
            cpu,
            detection,
            last: model.last.get(&cpu).cloned(),
            rate: model.rates.entries(cpu),
            total: summary.map(|summary| summary.entries),
            worst: summary.and_then(|summary| summary.max),
            share: model.rates.share(cpu),
            quiet: model.quiet(cpu),
            open: summary.is_some_and(|summary| summary.open > 0),
            lost: summary.map(|summary| summary.lost),
            unattributed: summary.map(|summary| summary.unattributed),
            filtered: summary.map(|summary| summary.filtered),
        }
    };
    let mut rows: Vec<CpuRow> = watched.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        let ordering = match order.by {
            CpuColumn::Cpu => a.cpu.cmp(&b.cpu),
            CpuColumn::Rate => float(a.rate, b.rate),
            CpuColumn::Total => a.total.cmp(&b.total),
            CpuColumn::Worst => a.worst.cmp(&b.worst),
            CpuColumn::Share => float(a.share, b.share),
        };
        order.apply(ordering).then(a.cpu.cmp(&b.cpu))
    });
    rows
}

/// A row of the causes table.
#[derive(Clone, Copy, Debug)]
pub struct CauseRow {
    /// The cause.
    pub cause: Cause,
    /// Breaches.
    pub count: u64,
    /// Breaches a second.
    pub rate: Option<f64>,
    /// The time in sum of those whose end was seen; `None` where none was.
    pub time: Option<Nanos>,
    /// 99 of 100 took at most this long. Over several CPUs the greatest of theirs,
    /// for which that still holds.
    pub p99: Option<Nanos>,
    /// The longest.
    pub max: Option<Nanos>,
}

/// The rows of the causes table, of one CPU or of all.
#[must_use]
pub fn causes(model: &Model, order: Order<CauseColumn>, only: Only) -> Vec<CauseRow> {
    let mut rows: BTreeMap<Cause, CauseRow> = BTreeMap::new();
    let cpus = model.totals.iter().flat_map(|totals| &totals.cpus);
    let wanted = cpus.filter(|cpu| only.cpu.is_none_or(|wanted| wanted == cpu.cpu));
    for cause in wanted.flat_map(|cpu| &cpu.causes) {
        let row = rows.entry(cause.cause).or_insert_with(|| CauseRow {
            cause: cause.cause,
            count: 0,
            rate: model.rates.cause(cause.cause, only.cpu),
            time: None,
            p99: None,
            max: None,
        });
        row.count += cause.count;
        row.time = match (row.time, cause.total) {
            (Some(Nanos(sum)), Some(Nanos(more))) => Some(Nanos(sum.saturating_add(more))),
            (sum, more) => sum.or(more),
        };
        row.p99 = row.p99.max(cause.p99);
        row.max = row.max.max(cause.max);
    }
    let mut rows: Vec<CauseRow> = rows.into_values().filter(|row| row.count > 0).collect();
    rows.sort_by(|a, b| {
        let ordering = match order.by {
            CauseColumn::Count => a.count.cmp(&b.count),
            CauseColumn::Rate => float(a.rate, b.rate),
            CauseColumn::Time => a.time.cmp(&b.time),
            CauseColumn::P99 => a.p99.cmp(&b.p99),
            CauseColumn::Max => a.max.cmp(&b.max),
            CauseColumn::Name => a.cause.word().cmp(b.cause.word()),
        };
        order.apply(ordering).then(a.cause.cmp(&b.cause))
    });
    rows
}

/// The list of breaches.
#[must_use]
pub fn breaches(model: &Model, order: Order<BreachColumn>, only: Only) -> Vec<&Kept> {
    let wanted = |kept: &&Kept| {
        let breach = &kept.breach;
        only.cpu.is_none_or(|cpu| cpu == breach.cpu)
            && only.cause.is_none_or(|cause| cause == breach.cause.cause())
    };
    let mut rows: Vec<&Kept> = model.breaches.iter().filter(wanted).collect();
    // As they arrived they are nearly in order of time: each CPU's ring is drained in turn.
    rows.sort_by(|a, b| {
        let (a, b) = (&a.breach, &b.breach);
        let ordering = match order.by {
            BreachColumn::Time => a.at.cmp(&b.at),
            BreachColumn::Duration => a.kernel_time().cmp(&b.kernel_time()),
            BreachColumn::Cpu => a.cpu.cmp(&b.cpu),
            BreachColumn::Cause => {
                let names = (a.cause.cause().word(), a.cause_name.as_deref());
                names.cmp(&(b.cause.cause().word(), b.cause_name.as_deref()))
            }
        };
        order.apply(ordering).then(b.at.cmp(&a.at))
    });
    rows
}

/// Figures that are not known come before all others.
fn float(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// A cause as the lists write it: its word and, where it has one, its name.
#[must_use]
pub fn cause_words(cause: Cause, name: Option<&Arc<str>>) -> String {
    match name {
        Some(name) if &**name != cause.word() => format!("{} {name}", cause.word()),
        _ => cause.word().to_owned(),
    }
}
