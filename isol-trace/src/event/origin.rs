//! Who provoked a breach.

use std::sync::Arc;

use isol_trace_common::{cause::Cause, send::Via};

use super::{
    ids::{Address, Cpu, MonoNanos},
    task::TaskId,
    user_stack::StackKey,
};

/// A place in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its address; `None` where a log gives its name alone.
    pub address: Option<Address>,
    /// `name`, `name+0x1f` or `name [module]`.
    pub name: Option<Arc<str>>,
}

/// Who asked something of a watched CPU, by the record that it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSender {
    /// How.
    pub via: Via,
    /// When; `None` where that was not seen, but who is to blame for it was ([`Via::PerfEvent`]).
    pub at: Option<MonoNanos>,
    /// The sender's CPU; `None` as above.
    pub cpu: Option<Cpu>,
    /// The task that ran when it asked; `None` where an interrupt handler or a softirq did.
    pub task: Option<TaskId>,
    /// Whether that task or an interrupt in its time asked is not known.
    pub unsure: bool,
    /// The function that it asked for.
    pub callback: Option<Address>,
    /// Where it asked.
    pub callsite: Option<Address>,
    /// How it got there, innermost first; empty where that was not recorded.
    pub stack: Vec<Address>,
    /// Found by target and order rather than by a pointer that both sides saw.
    pub inferred: bool,
}

/// An origin before names.
pub type RawOrigin = Origin<RawSender>;

/// Who asked something of a watched CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// How.
    pub via: Via,
    /// When; `None` where that was not seen, but who is to blame for it was ([`Via::PerfEvent`]).
    pub at: Option<MonoNanos>,
    /// The sender's CPU; `None` as above.
    pub cpu: Option<Cpu>,
    /// The task that asked; `None` where an interrupt handler or a softirq did.
    pub task: Option<TaskId>,
    /// The function that it asked for.
    pub callback: Option<Function>,
    /// Where it asked.
    pub callsite: Option<Function>,
    /// How it got there, innermost first; empty where that was not recorded.
    pub stack: Vec<Function>,
    /// How its task got into the kernel, innermost first, as `function+0x1f (file.c:12)`; empty where
    /// that was not asked for or is not known.
    pub user_stack: Arc<[Arc<str>]>,
    /// It need not have been this one: found by target and order rather than by a pointer that both
    /// sides saw, or an interrupt in the time of its task may have asked.
    pub inferred: bool,
}

impl Sender {
    /// How it asked, as the log says it of a breach with this cause: a cross-call reaches a CPU by one of two
    /// interrupts, and the cause says by which, where it is one of them.
    #[must_use]
    pub const fn via_word(&self, cause: Cause) -> &'static str {
        match self.via {
            Via::CrossCall if cause.is_call() => cause.word(),
            via => via.word(),
        }
    }
}

impl RawSender {
    /// What the user stack of the task that ran is known by; `None` where it was no task.
    #[must_use]
    pub fn stack_key(&self) -> Option<StackKey> {
        let task = self.task.as_ref()?;
        Some(StackKey {
            at: self.at?,
            cpu: self.cpu?,
            tid: task.tid,
        })
    }
}

/// Who provoked a breach. `S` is what is known of who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin<S = Sender> {
    /// The task itself: its system call, fault or exception.
    Task,
    /// Another CPU.
    Remote(Box<S>),
    /// A device.
    Device,
    /// A timer or work item of the kernel, and who armed or queued it where that was seen.
    Kernel(Option<Box<S>>),
    /// isol-trace itself.
    Tracer(Box<S>),
    /// Not known.
    Unknown,
}

impl Origin {
    /// Every word of [`Self::word`].
    pub const WORDS: [&'static str; 6] =
        ["task", "remote", "device", "kernel", "tracer", "unknown"];
}

impl<S> Origin<S> {
    /// The word that the log shows; one of [`Origin::WORDS`].
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Remote(_) => "remote",
            Self::Device => "device",
            Self::Kernel(_) => "kernel",
            Self::Tracer(_) => "tracer",
            Self::Unknown => "unknown",
        }
    }

    /// Who asked, where that was seen.
    #[must_use]
    pub fn sender(&self) -> Option<&S> {
        match self {
            Self::Remote(sender) | Self::Tracer(sender) => Some(sender),
            Self::Kernel(sender) => sender.as_deref(),
            Self::Task | Self::Device | Self::Unknown => None,
        }
    }

    /// As [`Self::sender`], to be changed.
    pub fn sender_mut(&mut self) -> Option<&mut S> {
        match self {
            Self::Remote(sender) | Self::Tracer(sender) => Some(sender),
            Self::Kernel(sender) => sender.as_deref_mut(),
            Self::Task | Self::Device | Self::Unknown => None,
        }
    }
}
