//! The record with which a whole log ends.

use isol_trace_common::cause::Cause;
use serde::{Deserialize, Serialize};

use crate::{
    event::ids::{Cpu, MonoNanos, Nanos},
    wire::{
        list::Members,
        value::{Count, Text},
        word::Word,
    },
};

/// The last line of a complete log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "summary", bound(deserialize = "'de: 'a"))]
pub struct Summary<'a> {
    /// When the tracer was disarmed.
    pub mono_ns: MonoNanos,
    /// Totals of each watched CPU.
    pub cpus: Vec<CpuSummary>,
    /// What isol-trace itself cost.
    pub tracer: Tracer<'a>,
}

/// entries = attributed + unattributed = breach records of the CPU + lost + filtered + open. A time that was not measured
/// is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "cpu_summary")]
pub struct CpuSummary {
    /// The CPU.
    pub cpu: Cpu,
    /// Kernel entries since arming.
    pub entries: Count,
    /// With a cause.
    pub attributed: Count,
    /// With cause `unknown`.
    pub unattributed: Count,
    /// Of tasks that a filter left out: no record, and in no cause's totals.
    pub filtered: Count,
    /// Whose record did not fit the ring.
    pub lost: Count,
    /// Still under way at the end of the log, or when the CPU was watched no longer.
    pub open: Count,
    /// Time in the kernel without idling, of all breaches whose end was seen. Absent: there are breaches, and no end of
    /// theirs was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_ns: Option<Nanos>,
    /// Idling in those.
    pub idle_ns: Nanos,
    /// The longest breach, without idling; absent where no end was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<Nanos>,
    /// Time that preempted tasks waited for the CPU; several can wait at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away_ns: Option<Nanos>,
    /// How often what the kernel's programs saw could not be. Other than 0 it is a defect of isol-trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defects: Option<Count>,
    /// Per cause that occurred.
    pub causes: Members<Word<Cause>, CauseTotals>,
}

/// Totals of a cause: how many, and of those whose end was seen, if any, the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "cause_totals")]
pub struct CauseTotals {
    /// How many.
    pub count: Count,
    /// Their kernel time in sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ns: Option<Nanos>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<Nanos>,
    /// Half of them were at most about this long (from a log2 histogram).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<Nanos>,
    /// 99 of 100 were at most about this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<Nanos>,
}

/// What isol-trace itself cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "tracer", bound(deserialize = "'de: 'a"))]
pub struct Tracer<'a> {
    /// Breaches that isol-trace itself caused while armed. The goal is 0.
    pub breaches: Count,
    /// Entries of the watched CPUs while its probes were attached, before arming; absent where not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_breaches: Option<Count>,
    /// The same while they were detached, after disarming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detach_breaches: Option<Count>,
    /// Senders whose records found no room: what they led to has an unknown origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_senders: Option<Count>,
    /// User stacks of senders that found no room, or came too fast to be unwound; only with --user-stacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_user_stacks: Option<Count>,
    /// Runs that the kernel skipped for recursion, per program.
    #[serde(default)]
    pub missed_runs: Members<Text<'a>, Count>,
    /// How often and how long each program ran, as the kernel measured it (--bpf-stats); programs that never ran are left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs: Option<Vec<Program<'a>>>,
}

/// A program of the kernel side, as the kernel measured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "program", bound(deserialize = "'de: 'a"))]
pub struct Program<'a> {
    /// Its probe.
    pub name: Text<'a>,
    /// How often it ran.
    pub runs: Count,
    /// How long in all, the kernel's own measuring included.
    pub run_ns: Nanos,
}
