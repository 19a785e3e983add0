//! What the records tell of an event: numbers and addresses, of which [`crate::attrib`] makes names.

use super::{
    cause::CauseDetail,
    entry::KernelEntry,
    ids::{Address, Cpu, MonoNanos, Nanos, Seq},
    kill::KilledBy,
    model::Event,
    origin::RawOrigin,
    signal::Signal,
    task::{Kin, TaskId},
    user_stack::StackKey,
};

/// An entry and who provoked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBreach {
    /// Its number in the log.
    pub seq: Seq,
    /// The entry.
    pub entry: KernelEntry,
    /// Who asked for each of [`KernelEntry::activities`], in their order: as many as there are of those.
    pub asked: Vec<ActivityOrigin>,
    /// Who provoked it, in the order in which they did; at least one.
    pub origins: Vec<RawOrigin>,
}

/// What is known of who brought an activity about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityOrigin {
    /// Who asked for it, where that was seen and is not one of the breach's own origins.
    pub origin: Option<RawOrigin>,
    /// Whose the thread is that ran (`switch` only); `None` where that is not known.
    pub kin: Option<Kin>,
}

/// An entry of which only this is known: from the kernel's memory, where its record found no room in the
/// ring, or from the signal that it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawUnlogged {
    /// When the task left user mode.
    pub at: MonoNanos,
    /// How long until the end, or until the signal that it led to; `None` where that was not seen.
    pub duration: Option<Nanos>,
    /// Why.
    pub cause: CauseDetail,
    /// Where the task was in user mode.
    pub ip: Address,
}

/// A signal that was delivered, as its record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredSignal {
    /// When.
    pub at: MonoNanos,
    /// Where.
    pub cpu: Cpu,
    /// To whom.
    pub task: TaskId,
    /// Which.
    pub signal: Signal,
    /// Its action is to end the process, rather than to call a handler.
    pub fatal: bool,
    /// Who raised it.
    pub by: KilledBy,
    /// `si_code` of the signal; `None` where the sender was not seen.
    pub code: Option<i32>,
    /// What the kernel knew of the entry when that led to the signal, or when the signal was delivered in it.
    pub entry: Option<RawUnlogged>,
}

/// A signal that ended a task, or that strict mode raised, and the breaches before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawKill {
    /// The signal.
    pub delivered: DeliveredSignal,
    /// The breach that led to it, or in which it arrived; `None` where its record was lost.
    pub breach: Option<Seq>,
    /// The last breaches of the task on that CPU, in order; the last one is [`Self::breach`].
    pub history: Vec<Seq>,
}

impl DeliveredSignal {
    /// What the user stack of its task is known by.
    #[must_use]
    pub const fn stack_key(&self) -> StackKey {
        StackKey {
            at: self.at,
            cpu: self.cpu,
            tid: self.task.tid,
        }
    }
}

/// An event whose record, and all that could have led to it, has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawEvent {
    /// A kernel entry.
    Breach(Box<RawBreach>),
    /// One in which there is nothing to name.
    Complete(Event),
    /// A signal.
    Kill(Box<RawKill>),
}
