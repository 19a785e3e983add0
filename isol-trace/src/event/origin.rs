//! Who provoked a breach.

use std::sync::Arc;

use super::{
    ids::{Address, Cpu, MonoNanos},
    model::{Cause, TaskId, Via},
    user_stack::StackKey,
};

/// A place in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its address; `None` where a log gives its name alone.
    pub address: Option<Address>,
    /// `name`, `name+0x1f` or `name [module]`. Filled by [`crate::attrib`].
    pub name: Option<Arc<str>>,
}

impl Function {
    /// The place at an address; `None` for 0, which stands for none.
    #[must_use]
    pub const fn at(address: u64) -> Option<Self> {
        if address == 0 {
            return None;
        }
        Some(Self {
            address: Some(Address(address)),
            name: None,
        })
    }
}

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
    /// Whether the task or an interrupt in its time asked is not known.
    pub unsure: bool,
    /// The function that it asked for.
    pub callback: Option<Function>,
    /// Where it asked.
    pub callsite: Option<Function>,
    /// How it got there, innermost first; empty where that was not recorded.
    pub stack: Vec<Function>,
    /// How its task got into the kernel, innermost first, as `function+0x1f (file.c:12)`; empty where
    /// that was not asked for or is not known. Filled by [`crate::attrib`].
    pub user_stack: Arc<[Arc<str>]>,
    /// Found by target and order rather than by a pointer that both sides saw.
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

    /// Whether it need not have been this one.
    #[must_use]
    pub const fn is_inferred(&self) -> bool {
        self.inferred || self.unsure
    }

    /// What its user stack is known by; `None` where it was no task.
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

/// Who provoked a breach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The task itself: its system call, fault or exception.
    Task,
    /// Another CPU.
    Remote(Box<Sender>),
    /// A device.
    Device,
    /// A timer or work item of the kernel, and who armed or queued it where that was seen.
    Kernel(Option<Box<Sender>>),
    /// isol-trace itself.
    Tracer(Box<Sender>),
    /// Not known.
    Unknown,
}

impl Origin {
    /// Every word of [`Self::word`].
    pub const WORDS: [&'static str; 6] =
        ["task", "remote", "device", "kernel", "tracer", "unknown"];

    /// The timer of a perf event: whose the event is, and the timer's function.
    #[must_use]
    pub fn of_perf_event(owner: Option<TaskId>, callback: Option<Function>) -> Self {
        Self::Kernel(Some(Box::new(Sender {
            via: Via::PerfEvent,
            at: None,
            cpu: None,
            task: owner,
            unsure: false,
            callback,
            callsite: None,
            stack: Vec::new(),
            user_stack: Arc::default(),
            inferred: false,
        })))
    }

    /// The word that the log shows; one of [`Self::WORDS`].
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
    pub fn sender(&self) -> Option<&Sender> {
        match self {
            Self::Remote(sender) | Self::Tracer(sender) => Some(sender),
            Self::Kernel(sender) => sender.as_deref(),
            Self::Task | Self::Device | Self::Unknown => None,
        }
    }

    /// As [`Self::sender`], to be completed.
    pub fn sender_mut(&mut self) -> Option<&mut Sender> {
        match self {
            Self::Remote(sender) | Self::Tracer(sender) => Some(sender),
            Self::Kernel(sender) => sender.as_deref_mut(),
            Self::Task | Self::Device | Self::Unknown => None,
        }
    }
}
