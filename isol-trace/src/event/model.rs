//! What happened on a watched CPU, in valid values.
//!
//! [`Event`] is the one stream that every sink consumes: the JSON log, the
//! dashboard and the tests. [`crate::event::decode`] makes the kernel's part of it,
//! [`crate::attrib`] adds names and origins.

use std::{borrow::Cow, sync::Arc};

pub use isol_trace_common::{activity::Activity, cause::Cause, record::End, send::Via};

pub use super::{
    kill::{Kill, KilledBy, Signaller, Unlogged},
    origin::{Function, Origin, Sender},
    probe::{Detection, ProbeState, ProbeVerdict},
};

use super::ids::{Address, Cpu, MonoNanos, Nanos, Pid, RuleId, Seq, Tid};

/// A thread as the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    /// Its process; `None` where the record that names it was lost.
    pub pid: Option<Pid>,
    /// The thread.
    pub tid: Tid,
    /// Its name at the time; `None` where the record that names it was lost.
    pub comm: Option<Arc<str>>,
}

/// Why the kernel was entered, with what belongs to that cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CauseDetail {
    /// A system call.
    Syscall {
        /// Its number; `None` where the kernel hid it (`int 0x80` across a task switch).
        number: Option<u32>,
        /// Its six argument registers.
        args: Option<[u64; 6]>,
    },
    /// A system call by the 32-bit gate (`int 0x80`), with the numbers of that table. Its
    /// arguments are in other registers and are not recorded.
    CompatSyscall {
        /// Its number.
        number: u32,
    },
    /// A page fault.
    PageFault {
        /// The address that faulted.
        address: Address,
        /// A write, rather than a read or an instruction fetch.
        write: bool,
        /// Taken in user mode.
        user: bool,
        /// An instruction fetch.
        fetch: bool,
        /// The page was there and its rights forbade the access (such as copy-on-write).
        protection: bool,
    },
    /// Another exception, by trap number; `None` where the kernel's structure could not be read.
    Exception {
        /// x86 trap number.
        trap: Option<u32>,
    },
    /// A device's interrupt.
    DeviceIrq {
        /// The Linux interrupt number.
        irq: u32,
        /// The handler function.
        handler: Option<Address>,
    },
    /// A non-maskable interrupt, with the handler that claimed it.
    Nmi {
        /// The handler function.
        handler: Option<Address>,
    },
    /// A vector, a machine check, or unknown: nothing more to tell.
    Plain(Cause),
}

impl CauseDetail {
    /// The word of this cause.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Syscall { .. } | Self::CompatSyscall { .. } => Cause::Syscall,
            Self::PageFault { .. } => Cause::PageFault,
            Self::Exception { .. } => Cause::Exception,
            Self::DeviceIrq { .. } => Cause::DeviceIrq,
            Self::Nmi { .. } => Cause::Nmi,
            Self::Plain(cause) => *cause,
        }
    }
}

/// One thing the kernel did inside an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityItem {
    /// What kind of work.
    pub kind: Activity,
    /// The kind's number: vector (as a cause), interrupt, softirq, thread, signal,
    /// flush reason, tick dependency; 0 for kinds that have none.
    pub number: u32,
    /// The function, handler or fault address.
    pub address: Option<Address>,
    /// The csd, work item or timer itself, by which its sender is found.
    pub key: Option<Address>,
    /// When it began (`vector` only).
    pub began: Option<MonoNanos>,
    /// The name of the thread that ran (`switch` only).
    pub comm: Option<Arc<str>>,
    /// Its time without what nested in it; `None` where only one end was seen.
    pub net: Option<Nanos>,
    /// A name for people: function, handler or word. Filled by [`crate::attrib`].
    pub name: Option<Arc<str>>,
    /// Who asked for it, where that was seen and is not one of the breach's own origins.
    pub origin: Option<Origin>,
}

/// One kernel entry of a watched task: one breach, one record, one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Its number in the log.
    pub seq: Seq,
    /// When the task left user mode.
    pub at: MonoNanos,
    /// The CPU.
    pub cpu: Cpu,
    /// How long until the end; `None` where the end was not seen.
    pub duration: Option<Nanos>,
    /// How much of that the CPU idled.
    pub idle: Nanos,
    /// How it ended.
    pub end: End,
    /// Fell inside an isolated section; `None` where sections are not followed.
    pub section: Option<bool>,
    /// The task.
    pub task: TaskId,
    /// Why.
    pub cause: CauseDetail,
    /// The cause's name for people: system call, exception, handler. Filled by [`crate::attrib`].
    pub cause_name: Option<Arc<str>>,
    /// Function of the cause's handler (`device_irq` and `nmi`). Filled by [`crate::attrib`].
    pub cause_handler: Option<Arc<str>>,
    /// Net time of the cause's own handler, where it is a vector or interrupt.
    pub cause_net: Option<Nanos>,
    /// When the cause's own handler began, where it is a vector.
    pub cause_began: Option<MonoNanos>,
    /// When the CPU had last gone to user mode, where the cause is a vector.
    pub user_since: Option<MonoNanos>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// Function and offset (or binary and offset) of [`Breach::ip`]. Filled by [`crate::attrib`].
    pub location: Option<Arc<str>>,
    /// Source file and line of [`Breach::ip`]. Filled by [`crate::attrib`].
    pub source: Option<Arc<str>>,
    /// Functions that were inlined there, as `leaf (spin.h:7)`, innermost first. Filled by [`crate::attrib`].
    pub inlined: Arc<[Arc<str>]>,
    /// What the kernel then did, in the order in which it began.
    pub activities: Vec<ActivityItem>,
    /// Activities that the record had no room for.
    pub dropped_activities: u8,
    /// Who provoked it, in the order in which they did.
    pub origins: Vec<Origin>,
    /// The rule that says what would end it; `None` where no rule does. Filled by [`crate::attrib`].
    pub remedy: Option<RuleId>,
}

impl Breach {
    /// Time in the kernel: the duration without idling.
    #[must_use]
    pub fn kernel_time(&self) -> Option<Nanos> {
        self.duration
            .map(|duration| Nanos(duration.0.saturating_sub(self.idle.0)))
    }

    /// When it ended; where that was not seen, when it began.
    #[must_use]
    pub fn seen_until(&self) -> MonoNanos {
        let Nanos(duration) = self.duration.unwrap_or(Nanos(0));
        MonoNanos(self.at.0.saturating_add(duration))
    }
}

/// Totals of one cause on one CPU, for people and for the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseSummary {
    /// Which cause.
    pub cause: Cause,
    /// Breaches.
    pub count: u64,
    /// Their kernel time in sum.
    pub total: Nanos,
    /// The longest.
    pub max: Nanos,
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
    /// Kernel time of the breaches.
    pub kernel: Nanos,
    /// Idle time inside them.
    pub idle: Nanos,
    /// Time that victims waited for another task.
    pub away: Nanos,
    /// The longest kernel time.
    pub max: Nanos,
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

/// The first line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Host name.
    pub host: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// Watched CPUs and how their entries are found.
    pub cpus: Vec<(Cpu, Detection)>,
    /// What the detection in force cannot see, in words; empty with context tracking alone.
    pub blind_spots: Vec<Cow<'static, str>>,
    /// Housekeeping CPUs.
    pub housekeeping: Vec<Cpu>,
    /// Every probe and its verdict.
    pub probes: Vec<ProbeVerdict>,
    /// When the log began (armed).
    pub at: MonoNanos,
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

/// What happened to a CPU of the watched set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuChange {
    /// The host isolates it now: it is watched.
    Isolated,
    /// The host isolates it no longer: neither is it watched.
    Released,
    /// It runs.
    Online,
    /// It does not run. It stays watched.
    Offline,
}

impl CpuChange {
    /// Every change.
    pub const ALL: [Self; 4] = [Self::Isolated, Self::Released, Self::Online, Self::Offline];

    /// The word that the log shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Released => "released",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    /// The change that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.word() == word)
    }
}

/// The watched set has changed with the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedSet {
    /// Since when the programs know.
    pub at: MonoNanos,
    /// What happened to which CPU.
    pub changes: Vec<(Cpu, CpuChange)>,
    /// Watched CPUs that run, and how their entries are found.
    pub cpus: Vec<(Cpu, Detection)>,
    /// What the detections in force cannot see, in words.
    pub blind_spots: Vec<Cow<'static, str>>,
    /// Housekeeping CPUs.
    pub housekeeping: Vec<Cpu>,
    /// Probes that this change needed first, and their verdicts.
    pub probes: Vec<ProbeVerdict>,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first.
    Header(Header),
    /// A breach.
    Breach(Box<Breach>),
    /// A victim whose entry had ended as `switched` is in user mode again.
    Back {
        /// Its breach; `None` where that record was lost.
        breach: Option<Seq>,
        /// How long it had been away since that record's end.
        away: Nanos,
        /// When it was back.
        at: MonoNanos,
        /// The thread.
        tid: Tid,
    },
    /// Records that did not fit the ring since the last such line of this CPU.
    Lost {
        /// The CPU.
        cpu: Cpu,
        /// How many.
        records: u64,
        /// When it was noticed.
        at: MonoNanos,
    },
    /// The watched set is another one from here on.
    Watched(WatchedSet),
    /// A task goes to another CPU, from a watched one or to one.
    Moved {
        /// Who.
        task: TaskId,
        /// The CPU that it was on.
        from: Cpu,
        /// The CPU that it goes to.
        to: Cpu,
        /// When.
        at: MonoNanos,
    },
    /// A signal that ended a task, or that strict mode raised.
    Kill(Box<Kill>),
    /// The last.
    Summary(Summary),
}

/// Where events go.
pub trait Sink {
    /// Takes one event. An error ends the log; the sink keeps what is already whole.
    fn event(&mut self, event: &Event) -> std::io::Result<()>;

    /// Hands everything on to where it goes.
    fn flush(&mut self) -> std::io::Result<()>;
}

/// Current totals while the tracer runs, for the dashboard and for progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// When they were read.
    pub at: MonoNanos,
    /// One per watched CPU, in order.
    pub cpus: Vec<CpuSummary>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A breach to change.
    pub(crate) fn breach() -> Breach {
        Breach {
            seq: Seq(1),
            at: MonoNanos(0),
            cpu: Cpu(0),
            duration: None,
            idle: Nanos(0),
            end: End::Return,
            section: None,
            task: TaskId {
                pid: None,
                tid: Tid(7),
                comm: None,
            },
            cause: CauseDetail::Plain(Cause::Unknown),
            cause_name: None,
            cause_handler: None,
            cause_net: None,
            cause_began: None,
            user_since: None,
            ip: Address(0),
            location: None,
            source: None,
            inlined: Arc::default(),
            activities: Vec::new(),
            dropped_activities: 0,
            origins: Vec::new(),
            remedy: None,
        }
    }
}
