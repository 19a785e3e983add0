//! Tasks that a signal ends, or that strict mode signals: by whom, for which breach, after which others.

use std::sync::Arc;

use isol_trace_common::kill::SI_KERNEL;

use super::{
    cause::CauseDetail,
    ids::{Address, Cpu, MonoNanos, Nanos, Seq},
    signal::Signal,
    task::TaskId,
};

/// A timer of the task (`include/uapi/asm-generic/siginfo.h`).
pub const SI_TIMER: i32 = -2;

/// Who raised the signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KilledBy {
    /// Strict mode of the kernel's task isolation.
    StrictMode,
    /// The strict mode that isol-trace makes (`record --strict`).
    Tracer,
    /// The task itself: an exception, or a signal that its own process sent.
    Task,
    /// Another process.
    Remote(Signaller),
    /// The kernel: a timer that the task had armed, a limit, a lack of memory.
    Kernel,
    /// Not known.
    Unknown,
}

/// Another process that sent a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signaller {
    /// Its CPU.
    pub cpu: Cpu,
    /// The thread that sent it.
    pub task: TaskId,
}

impl KilledBy {
    /// Every word of [`Self::word`].
    pub const WORDS: [&'static str; 6] = [
        "strict-mode",
        "tracer",
        "task",
        "remote",
        "kernel",
        "unknown",
    ];

    /// The word that the log shows; one of [`Self::WORDS`].
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::StrictMode => "strict-mode",
            Self::Tracer => "tracer",
            Self::Task => "task",
            Self::Remote(_) => "remote",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}

/// An entry that is known without its record: from the kernel's memory, where that record found no room in
/// the ring, or from the signal that it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlogged {
    /// When the task left user mode.
    pub at: MonoNanos,
    /// How long until the end, or until the signal that it led to; `None` where that was not seen.
    pub duration: Option<Nanos>,
    /// Why.
    pub cause: CauseDetail,
    /// The cause's name for people.
    pub cause_name: Option<Arc<str>>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// Function and offset (or binary and offset) of [`Unlogged::ip`]. `None` for those of
    /// [`Kill::unlogged`].
    pub location: Option<Arc<str>>,
    /// Source file and line of [`Unlogged::ip`]. `None` likewise.
    pub source: Option<Arc<str>>,
}

/// A signal that ended a task, or that strict mode raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// When it was delivered.
    pub at: MonoNanos,
    /// Where.
    pub cpu: Cpu,
    /// To whom.
    pub task: TaskId,
    /// Its process was seen to be the command that was recorded, or to have been started by that, or by what that has
    /// started.
    pub of_command: bool,
    /// Which.
    pub signal: Signal,
    /// Its action is to end the process, rather than to call a handler.
    pub fatal: bool,
    /// Who raised it.
    pub by: KilledBy,
    /// `si_code` of the signal; `None` where the sender was not seen.
    pub code: Option<i32>,
    /// The breach that led to it, or in which it arrived; `None` where its record was lost.
    pub breach: Option<Seq>,
    /// What the kernel knew of that entry when it led to the signal, or when the signal was delivered in it.
    pub entry: Option<Unlogged>,
    /// The last breaches of the task on that CPU, in order; the last one is [`Kill::breach`].
    pub history: Vec<Seq>,
    /// Entries of the task that the ring had no room for, from the kernel's memory, in order.
    pub unlogged: Vec<Unlogged>,
    /// Where the task was in user mode, innermost first, as `function+0x1f (file.c:12)`.
    pub user_stack: Arc<[Arc<str>]>,
}

impl Kill {
    /// Whether an exception of the task other than a page fault led to it, as far as the signal shows that.
    #[must_use]
    pub fn is_of_an_unseen_exception(&self) -> bool {
        /// An alignment check; a shadow stack's (`include/uapi/asm-generic/siginfo.h`, v6.12).
        const BUS_ADRALN: i32 = 1;
        const SEGV_CPERR: i32 = 10;
        let (Some(code), KilledBy::Task) = (self.code, &self.by) else {
            return false;
        };
        // A general protection fault and an `int3` have SI_KERNEL (`arch/x86/kernel/traps.c`, v6.12).
        match self.signal.name().as_ref() {
            "SIGILL" | "SIGFPE" => code > 0,
            "SIGTRAP" => matches!(code, 1..=4 | SI_KERNEL),
            "SIGBUS" => matches!(code, BUS_ADRALN | SI_KERNEL),
            "SIGSEGV" => matches!(code, SEGV_CPERR | SI_KERNEL),
            _ => false,
        }
    }
}
