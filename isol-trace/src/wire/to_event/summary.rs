//! Totals as a log has them.

use super::owned;
use crate::{
    event::model as event,
    wire::{
        model::{CauseTotals, CpuSummary, Program, Summary, Tracer},
        value::{Count, Text},
        word::Word,
    },
};

impl From<Summary<'_>> for event::Summary {
    fn from(record: Summary<'_>) -> Self {
        Self {
            at: record.mono_ns,
            cpus: record.cpus.into_iter().map(Into::into).collect(),
            tracer: record.tracer.into(),
        }
    }
}

impl From<CpuSummary> for event::CpuSummary {
    fn from(record: CpuSummary) -> Self {
        let cause = |(Word(cause), totals): (_, CauseTotals)| event::CauseSummary {
            cause,
            count: totals.count.0,
            total: totals.total_ns,
            max: totals.max_ns,
            p50: totals.p50_ns,
            p99: totals.p99_ns,
        };
        Self {
            cpu: record.cpu,
            entries: record.entries.0,
            attributed: record.attributed.0,
            unattributed: record.unattributed.0,
            filtered: record.filtered.0,
            lost: record.lost.0,
            open: record.open.0,
            kernel: record.kernel_ns,
            idle: record.idle_ns,
            away: record.away_ns.unwrap_or_default(),
            max: record.max_ns,
            defects: record.defects.map(|Count(defects)| defects),
            causes: record.causes.into_iter().map(cause).collect(),
        }
    }
}

impl From<Tracer<'_>> for event::TracerSummary {
    fn from(record: Tracer<'_>) -> Self {
        let count = |Count(count): Count| count;
        let program = |record: Program<'_>| event::ProgramRuns {
            name: owned(record.name),
            runs: record.runs.0,
            run: record.run_ns,
        };
        let missed = |(program, Count(runs)): (Text<'_>, _)| (owned(program), runs);
        Self {
            breaches: record.breaches.0,
            attach_breaches: record.attach_breaches.map(count),
            detach_breaches: record.detach_breaches.map(count),
            lost_senders: record.lost_senders.map(count),
            lost_user_stacks: record.lost_user_stacks.map(count),
            missed_runs: record.missed_runs.into_iter().map(missed).collect(),
            programs: record
                .programs
                .map(|all| all.into_iter().map(program).collect()),
        }
    }
}
