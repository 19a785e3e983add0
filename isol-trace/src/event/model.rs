//! What happened on a watched CPU, in valid values.
//!
//! [`Event`] is the one stream that every consumer hears: the JSON log, the
//! dashboard and the tests. [`crate::event::decode`] makes the kernel's part of it,
//! [`crate::attrib`] adds names and origins.

pub use isol_trace_common::{activity::Activity, cause::Cause, record::End, send::Via};

pub use super::{
    breach::{ActivityItem, Breach},
    cause::CauseDetail,
    header::{CpuChange, Header, WatchedSet},
    kill::{Kill, KilledBy, Signaller, Unlogged},
    origin::{Function, Origin, Sender},
    probe::{Detection, ProbeState, ProbeVerdict},
    summary::{CauseSummary, CpuSummary, ProgramRuns, Summary, Totals, TracerSummary},
    task::{Kin, TaskId},
};

use super::ids::{Cpu, MonoNanos, Nanos, Seq, Tid};

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first.
    Header(Header),
    /// A breach.
    Breach(Box<Breach>),
    /// A task whose entry had ended as `switched` is in user mode again.
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
