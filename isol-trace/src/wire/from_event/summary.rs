//! Totals as records.

use crate::{
    event::model as event,
    wire::{
        model::{CauseTotals, CpuSummary, Program, Summary, Tracer},
        value::Count,
        word::Word,
    },
};

impl<'a> From<&'a event::Summary> for Summary<'a> {
    fn from(summary: &'a event::Summary) -> Self {
        Self {
            mono_ns: summary.at,
            cpus: summary.cpus.iter().map(Into::into).collect(),
            tracer: (&summary.tracer).into(),
        }
    }
}

impl From<&event::CpuSummary> for CpuSummary {
    fn from(cpu: &event::CpuSummary) -> Self {
        let totals = |cause: &event::CauseSummary| {
            let totals = CauseTotals {
                count: Count(cause.count),
                total_ns: cause.total,
                max_ns: cause.max,
                p50_ns: cause.p50,
                p99_ns: cause.p99,
            };
            (Word(cause.cause), totals)
        };
        Self {
            cpu: cpu.cpu,
            entries: Count(cpu.entries),
            attributed: Count(cpu.attributed),
            unattributed: Count(cpu.unattributed),
            filtered: Count(cpu.filtered),
            lost: Count(cpu.lost),
            open: Count(cpu.open),
            kernel_ns: cpu.kernel,
            idle_ns: cpu.idle,
            max_ns: cpu.max,
            away_ns: Some(cpu.away),
            defects: cpu.defects.map(Count),
            causes: cpu.causes.iter().map(totals).collect(),
        }
    }
}

impl<'a> From<&'a event::TracerSummary> for Tracer<'a> {
    fn from(tracer: &'a event::TracerSummary) -> Self {
        let program = |program: &'a event::ProgramRuns| Program {
            name: program.name.as_str().into(),
            runs: Count(program.runs),
            run_ns: program.run,
        };
        let missed = |(program, runs): &'a (String, u64)| (program.as_str().into(), Count(*runs));
        Self {
            breaches: Count(tracer.breaches),
            attach_breaches: tracer.attach_breaches.map(Count),
            detach_breaches: tracer.detach_breaches.map(Count),
            lost_senders: tracer.lost_senders.map(Count),
            lost_user_stacks: tracer.lost_user_stacks.map(Count),
            missed_runs: tracer.missed_runs.iter().map(missed).collect(),
            programs: tracer
                .programs
                .as_ref()
                .map(|all| all.iter().map(program).collect()),
        }
    }
}
