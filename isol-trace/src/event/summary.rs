//! What a trace comes to: the ledger of each CPU, and what the tracer itself cost.

use super::{
    ids::{Cpu, MonoNanos, Nanos},
    model::Cause,
};

/// Totals of one cause on one CPU, for people and for the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseSummary {
    /// Which cause.
    pub cause: Cause,
    /// Breaches.
    pub count: u64,
    /// The kernel time in sum of those whose end was seen; `None` where none was.
    pub total: Option<Nanos>,
    /// The longest of those.
    pub max: Option<Nanos>,
    /// Half of them were at most about this long (from the log2 histogram); `None` without a timed one.
    pub p50: Option<Nanos>,
    /// 99 of 100 were at most about this long.
    pub p99: Option<Nanos>,
}

/// Totals of one CPU: the ledger. See [`CpuSummary::balances`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSummary {
    /// The CPU.
    pub cpu: Cpu,
    /// Kernel entries: ended and still open, filtered ones included.
    pub entries: u64,
    /// Entries with a cause.
    pub attributed: u64,
    /// Entries without.
    pub unattributed: u64,
    /// Entries of tasks that a filter left out.
    pub filtered: u64,
    /// Records that did not fit the ring.
    pub lost: u64,
    /// Entries under way: 0 or 1.
    pub open: u64,
    /// Kernel time of the breaches whose end was seen; `None` where there are some and none was.
    pub kernel: Option<Nanos>,
    /// Idle time inside them.
    pub idle: Nanos,
    /// Time that preempted tasks waited for the CPU, summed up over the tasks: several can wait at
    /// the same time.
    pub away: Nanos,
    /// The longest kernel time; `None` without a breach whose end was seen.
    pub max: Option<Nanos>,
    /// Times that what the kernel's programs saw could not be, such as a clock that went back: each is a
    /// defect of this program. `None` in logs of versions that did not tell.
    pub defects: Option<u64>,
    /// By cause; only causes that occurred. Their counts sum to `entries - filtered`.
    pub causes: Vec<CauseSummary>,
}

impl CpuSummary {
    /// The ledger equation: every entry is accounted for, by cause and by record.
    #[must_use]
    pub const fn balances(&self, breach_records: u64) -> bool {
        self.entries == self.attributed + self.unattributed
            && self.entries == breach_records + self.lost + self.filtered + self.open
    }
}

/// What the tracer itself cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracerSummary {
    /// Breaches that isol-trace caused after it was armed.
    pub breaches: u64,
    /// Kernel entries of the watched CPUs while probes were attached; `None` where not measured.
    pub attach_breaches: Option<u64>,
    /// The same while they were detached.
    pub detach_breaches: Option<u64>,
    /// Senders whose records found no room: what they led to has an unknown origin; `None` in logs
    /// of versions that did not count them.
    pub lost_senders: Option<u64>,
    /// User stacks of senders that found no room; `None` where none were asked for.
    pub lost_user_stacks: Option<u64>,
    /// Runs that the kernel skipped, per program, only those above 0.
    pub missed_runs: Vec<(String, u64)>,
    /// How long the programs ran, only those that did; `None` where that was not asked for.
    pub programs: Option<Vec<ProgramRuns>>,
}

/// What the kernel measured of one program while BPF statistics were on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// The probe's name.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long in all, with the measuring itself.
    pub run: Nanos,
}

/// The last line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When the tracer was disarmed.
    pub at: MonoNanos,
    /// Totals per watched CPU.
    pub cpus: Vec<CpuSummary>,
    /// What the tracer itself cost.
    pub tracer: TracerSummary,
}

/// Current totals while the tracer runs, for the dashboard and for progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// When they were read.
    pub at: MonoNanos,
    /// One per watched CPU, in order.
    pub cpus: Vec<CpuSummary>,
}
