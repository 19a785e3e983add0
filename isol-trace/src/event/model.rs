//! What happened on a watched CPU, in valid values.
//!
//! [`Event`] is the one stream that every consumer hears: the JSON log, the
//! dashboard and the tests. [`crate::event::decode`] makes the kernel's part of it,
//! [`crate::attrib`] adds names and origins.

use std::{borrow::Cow, sync::Arc};

pub use isol_trace_common::{activity::Activity, cause::Cause, record::End, send::Via};

pub use super::{
    kill::{Kill, KilledBy, Signaller, Unlogged},
    origin::{Function, Origin, Sender},
    probe::{Detection, ProbeState, ProbeVerdict},
    summary::{CauseSummary, CpuSummary, ProgramRuns, Summary, Totals, TracerSummary},
};

use crate::clock::Anchor;

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
    /// The csd, work item or timer itself, or when an `irq_work` was raised: by which its sender is found.
    pub key: Option<Address>,
    /// When it began (`vector` only).
    pub began: Option<MonoNanos>,
    /// The name of the thread that ran (`switch` only).
    pub comm: Option<Arc<str>>,
    /// Its time without what nested in it; `None` where only one end was seen.
    pub net: Option<Nanos>,
    /// A name for people: function, handler or word. Filled by [`crate::attrib`].
    pub name: Option<Arc<str>>,
    /// Whose the thread is that ran (`switch` only); `None` where that is not known.
    pub kin: Option<Kin>,
    /// Who asked for it, where that was seen and is not one of the breach's own origins.
    pub origin: Option<Origin>,
}

/// Whose a thread is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its process.
    pub pid: Pid,
    /// A worker of `io_uring` or another of the kernel's in that process: it never is in user mode.
    pub worker: bool,
    /// The process that made its process, by number and name; `None` where that is not known.
    pub parent: Option<(Pid, Arc<str>)>,
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

/// The first line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Host name.
    pub host: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// Whether the kernel is built with `CONFIG_NO_HZ_FULL`: without it `nohz_full=` means nothing
    /// to it. `None` in a log of an isol-trace that did not say.
    pub no_hz_full: Option<bool>,
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
    /// Where the clock of the log's times lies on the calendar.
    pub anchor: Anchor,
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
