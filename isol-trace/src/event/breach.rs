//! A breach: a kernel entry with all that is known of it.

use std::sync::Arc;

use isol_trace_common::{activity::Activity, record::End};

use super::{
    cause::CauseDetail,
    ids::{Address, Cpu, MonoNanos, Nanos, RuleId, Seq},
    origin::Origin,
    task::{Kin, TaskId},
};

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
    /// The cause's name for people: system call, exception, handler.
    pub cause_name: Option<Arc<str>>,
    /// Function of the cause's handler (`device_irq` and `nmi`).
    pub cause_handler: Option<Arc<str>>,
    /// Net time of the cause's own handler, where it is a vector or interrupt.
    pub cause_net: Option<Nanos>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// Function and offset (or binary and offset) of [`Breach::ip`].
    pub location: Option<Arc<str>>,
    /// Source file and line of [`Breach::ip`].
    pub source: Option<Arc<str>>,
    /// Functions that were inlined there, as `leaf (spin.h:7)`, innermost first.
    pub inlined: Arc<[Arc<str>]>,
    /// What the kernel then did, in the order in which it began.
    pub activities: Vec<ActivityItem>,
    /// Activities that the record had no room for.
    pub dropped_activities: u8,
    /// Who provoked it, in the order in which they did.
    pub origins: Vec<Origin>,
    /// The rule that says what would end it; `None` where no rule does.
    pub remedy: Option<RuleId>,
}

impl Breach {
    /// Time in the kernel: the duration without idling.
    #[must_use]
    pub fn kernel_time(&self) -> Option<Nanos> {
        self.duration
            .map(|duration| Nanos(duration.0.saturating_sub(self.idle.0)))
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
    /// The name of the thread that ran (`switch` only).
    pub comm: Option<Arc<str>>,
    /// Its time without what nested in it; `None` where only one end was seen.
    pub net: Option<Nanos>,
    /// A name for people: function, handler or word.
    pub name: Option<Arc<str>>,
    /// Whose the thread is that ran (`switch` only); `None` where that is not known.
    pub kin: Option<Kin>,
    /// Who asked for it, where that was seen and is not one of the breach's own origins.
    pub origin: Option<Origin>,
}

#[cfg(test)]
pub(crate) mod tests {
    use isol_trace_common::cause::Cause;

    use super::*;
    use crate::event::ids::Tid;

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
