//! The last line of a log.

use serde::Deserialize;

use super::field::{CauseWord, Members};
use crate::event::{
    ids::{Cpu, MonoNanos, Nanos},
    model::{CauseSummary, CpuSummary, ProgramRuns, Summary, TracerSummary},
};

#[derive(Debug, Deserialize)]
pub(super) struct JsonSummary {
    mono_ns: u64,
    cpus: Vec<JsonCpu>,
    tracer: JsonTracer,
}

#[derive(Debug, Deserialize)]
struct JsonCpu {
    cpu: u32,
    entries: u64,
    attributed: u64,
    unattributed: u64,
    filtered: u64,
    lost: u64,
    open: u64,
    kernel_ns: Option<u64>,
    idle_ns: u64,
    max_ns: Option<u64>,
    #[serde(default)]
    away_ns: u64,
    defects: Option<u64>,
    causes: Members<CauseWord, JsonCause>,
}

#[derive(Debug, Deserialize)]
struct JsonCause {
    count: u64,
    total_ns: Option<u64>,
    max_ns: Option<u64>,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct JsonTracer {
    breaches: u64,
    attach_breaches: Option<u64>,
    detach_breaches: Option<u64>,
    lost_senders: Option<u64>,
    lost_user_stacks: Option<u64>,
    #[serde(default)]
    missed_runs: Members<String, u64>,
    programs: Option<Vec<JsonProgram>>,
}

#[derive(Debug, Deserialize)]
struct JsonProgram {
    name: String,
    runs: u64,
    run_ns: u64,
}

impl From<JsonSummary> for Summary {
    fn from(raw: JsonSummary) -> Self {
        Self {
            at: MonoNanos(raw.mono_ns),
            cpus: raw.cpus.into_iter().map(Into::into).collect(),
            tracer: raw.tracer.into(),
        }
    }
}

impl From<JsonCpu> for CpuSummary {
    fn from(raw: JsonCpu) -> Self {
        let cause = |(CauseWord(cause), raw): (_, JsonCause)| CauseSummary {
            cause,
            count: raw.count,
            total: raw.total_ns.map(Nanos),
            max: raw.max_ns.map(Nanos),
            p50: raw.p50_ns.map(Nanos),
            p99: raw.p99_ns.map(Nanos),
        };
        Self {
            cpu: Cpu(raw.cpu),
            entries: raw.entries,
            attributed: raw.attributed,
            unattributed: raw.unattributed,
            filtered: raw.filtered,
            lost: raw.lost,
            open: raw.open,
            kernel: raw.kernel_ns.map(Nanos),
            idle: Nanos(raw.idle_ns),
            away: Nanos(raw.away_ns),
            max: raw.max_ns.map(Nanos),
            defects: raw.defects,
            causes: raw.causes.0.into_iter().map(cause).collect(),
        }
    }
}

impl From<JsonTracer> for TracerSummary {
    fn from(raw: JsonTracer) -> Self {
        let program = |raw: JsonProgram| ProgramRuns {
            name: raw.name,
            runs: raw.runs,
            run: Nanos(raw.run_ns),
        };
        Self {
            breaches: raw.breaches,
            attach_breaches: raw.attach_breaches,
            detach_breaches: raw.detach_breaches,
            lost_senders: raw.lost_senders,
            lost_user_stacks: raw.lost_user_stacks,
            missed_runs: raw.missed_runs.0,
            programs: raw
                .programs
                .map(|all| all.into_iter().map(program).collect()),
        }
    }
}
