//! Tasks that a signal ends, or that strict mode signals: by whom, for which breach, after which others.

use std::{collections::VecDeque, sync::Arc};

use isol_trace_common::kill::{
    self as wire, KILL_BY_INTERRUPT, KILL_FATAL, KILL_SENDER, Raiser, SI_KERNEL,
};
use zerocopy::IntoBytes as _;

use super::{
    decode::view_beginning,
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
    model::{Breach, CauseDetail, TaskId},
    signal::Signal,
    user_stack::StackKey,
};
use recent::RecentBreaches;

/// A timer of the task (`include/uapi/asm-generic/siginfo.h`).
pub const SI_TIMER: i32 = -2;

/// `SI_USER`: sent by `kill(2)`, or by the kernel as if the task had sent it to itself.
const SI_USER: i32 = 0;

/// Breaches of the same task that a kill names, the one that led to it included.
const HISTORY: usize = 9;

/// Kills that may wait for their breach; of more the oldest goes without.
const MAX_WAITING: usize = 256;

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

    /// What a record tells.
    fn of(kill: &wire::Kill, raiser: Raiser, signal: Signal) -> Self {
        match raiser {
            Raiser::StrictMode => return Self::StrictMode,
            Raiser::Tracer => return Self::Tracer,
            Raiser::Signal => {}
        }
        if kill.flags & KILL_SENDER == 0 {
            return Self::Unknown;
        }
        let by_interrupt = kill.flags & KILL_BY_INTERRUPT != 0;
        let (own_process, own_thread) = (kill.sender_pid == kill.pid, kill.sender_tid == kill.tid);
        // Positive codes are the kernel's (`include/uapi/asm-generic/siginfo.h`, SI_FROMUSER), SI_KERNEL
        // among them, which a general protection fault has, but also a limit of CPU time that the task
        // expires itself and a lack of memory that its own fault finds (mm/oom_kill.c, v6.12).
        match kill.code {
            _ if by_interrupt => Self::Kernel,
            SI_TIMER => Self::Kernel,
            1.. if signal.is_of_a_fault() && own_process => Self::Task,
            1.. => Self::Kernel,
            // The limit of a file's size is sent as the task's own (fs/attr.c:inode_newsize_ok, v6.12).
            SI_USER if signal == Signal::FILE_SIZE && own_thread => Self::Kernel,
            _ if own_process => Self::Task,
            _ => Self::Remote(Signaller {
                cpu: Cpu(kill.sender_cpu),
                task: TaskId {
                    pid: Some(Pid(kill.sender_pid)),
                    tid: Tid(kill.sender_tid),
                    comm: Some(super::assemble::name(kill.sender_comm)),
                },
            }),
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
    /// The cause's name for people. Filled by [`crate::attrib`].
    pub cause_name: Option<Arc<str>>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// Function and offset (or binary and offset) of [`Unlogged::ip`]. Filled by [`crate::attrib`] for the
    /// entry that led to a signal.
    pub location: Option<Arc<str>>,
    /// Source file and line of [`Unlogged::ip`]. Filled likewise.
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
    /// Where the task was in user mode, innermost first, as `function+0x1f (file.c:12)`. Filled by
    /// [`crate::attrib`].
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

    /// What its user stack is known by.
    #[must_use]
    pub const fn stack_key(&self) -> StackKey {
        StackKey {
            at: self.at,
            cpu: self.cpu,
            tid: self.task.tid,
        }
    }
}

/// A kill and the entry that led to it.
#[derive(Debug)]
pub(super) struct Arrived {
    kill: Kill,
    /// CPU and departure of the entry; `None` where there is none.
    entry: Option<(Cpu, MonoNanos)>,
    /// What the last entry of the thread has been if it led to this; `None` where that is not known.
    led: Option<Led>,
}

/// What an entry can lead to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Led {
    /// A system call, to a signal that it sends.
    Call,
    /// A page fault, to the signal for it.
    PageFault,
}

impl Led {
    /// What a breach can have led to.
    const fn by(breach: &Breach) -> Option<Self> {
        match breach.cause {
            CauseDetail::Syscall { .. } | CauseDetail::CompatSyscall { .. } => Some(Self::Call),
            CauseDetail::PageFault { .. } => Some(Self::PageFault),
            _ => None,
        }
    }

    /// What must have led to a signal that the thread has raised itself.
    ///
    /// Without context tracking a system call is closed where its own work ends, and signals are
    /// delivered after that; a fault is closed at the next departure.
    const fn to(kill: &wire::Kill, by: &KilledBy, signal: Signal) -> Option<Self> {
        if !matches!(by, KilledBy::Task) || kill.sender_tid != kill.tid {
            return None;
        }
        match kill.code {
            ..=0 => Some(Self::Call),
            SI_KERNEL => None,
            _ if signal.is_of_a_page_fault() => Some(Self::PageFault),
            _ => None,
        }
    }
}

impl Arrived {
    /// What a record tells.
    pub(super) fn of(kill: &wire::Kill, raiser: Raiser, signal: Signal) -> Self {
        let entry =
            (kill.opened_ns != 0).then_some((Cpu(kill.entry_cpu), MonoNanos(kill.opened_ns)));
        let by = KilledBy::of(kill, raiser, signal);
        Self {
            led: Led::to(kill, &by, signal),
            kill: Kill {
                at: MonoNanos(kill.at_ns),
                cpu: Cpu(kill.cpu),
                task: TaskId {
                    pid: Some(Pid(kill.pid)),
                    tid: Tid(kill.tid),
                    comm: Some(super::assemble::name(kill.comm)),
                },
                signal,
                fatal: kill.flags & KILL_FATAL != 0,
                by,
                code: (kill.flags & KILL_SENDER != 0).then_some(kill.code),
                breach: None,
                entry: None,
                history: Vec::new(),
                unlogged: Vec::new(),
                user_stack: Arc::default(),
            },
            entry,
        }
    }
}

impl Arrived {
    /// What the record tells of the entry.
    pub(super) fn entry_was(&mut self, entry: Option<Unlogged>) {
        self.kill.entry = entry;
    }

    /// Whether it waits for a breach of this thread on this CPU.
    fn is_of(&self, cpu: Cpu, tid: Tid) -> bool {
        self.kill.task.tid == tid && self.entry.is_some_and(|(entered, _)| entered == cpu)
    }
}

/// Brings kills and breaches together.
#[derive(Debug, Default)]
pub(super) struct Kills {
    recent: RecentBreaches,
    /// Kills whose breach has not ended yet.
    waiting: VecDeque<Arrived>,
}

impl Kills {
    /// A breach has its number: gives the kills that waited for it, or can wait no longer.
    pub(super) fn numbered(&mut self, breach: &Breach, mut take: impl FnMut(Kill)) {
        let Self { recent, waiting } = self;
        recent.add(breach, |cpu, tid| {
            waiting.iter().any(|it| it.is_of(cpu, tid))
        });
        if self.waiting.is_empty() {
            return;
        }
        // Entries of a CPU end in order: after a later one theirs can only have been lost.
        let waiting = std::mem::take(&mut self.waiting);
        for arrived in waiting {
            match arrived.entry {
                Some((cpu, at)) if cpu != breach.cpu || at > breach.at => {
                    self.waiting.push_back(arrived);
                }
                _ => take(self.told(arrived)),
            }
        }
    }

    /// A kill: given at once if its breach has a number, or never will.
    pub(super) fn came(&mut self, arrived: Arrived, mut take: impl FnMut(Kill)) {
        let is_known = match arrived.entry {
            None => true,
            Some((cpu, at)) => self.recent.has_reached(cpu, at),
        };
        if is_known {
            take(self.told(arrived));
            return;
        }
        self.waiting.push_back(arrived);
        if self.waiting.len() > MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            take(self.told(oldest));
        }
    }

    /// The log ends: gives all that wait.
    pub(super) fn finish(&mut self, mut take: impl FnMut(Kill)) {
        while let Some(arrived) = self.waiting.pop_front() {
            take(self.told(arrived));
        }
    }

    /// The kill with its breach and history.
    fn told(&self, arrived: Arrived) -> Kill {
        let Arrived {
            mut kill,
            entry,
            led,
        } = arrived;
        let (cpu, until) = entry.unwrap_or((kill.cpu, kill.at));
        let own: Vec<_> = self
            .recent
            .of(cpu, kill.task.tid)
            .filter(|recent| recent.at <= until)
            .collect();
        kill.breach = own.last().and_then(|last| {
            let is_it = match entry {
                Some((_, at)) => last.at == at,
                None => led.is_some() && last.led == led,
            };
            is_it.then_some(last.seq)
        });
        let skipped = own.len().saturating_sub(HISTORY);
        kill.history = own.iter().skip(skipped).map(|recent| recent.seq).collect();
        kill
    }
}

/// An entry of the kernel's memory, of the thread `tid`; `None` if it is another's or no entry at all.
#[must_use]
pub fn unlogged(words: &[u64], Tid(tid): Tid) -> Option<Unlogged> {
    let view = view_beginning(words.as_bytes()).ok()?;
    (view.entry.tid == tid).then(|| super::assemble::unlogged(&view))
}

mod recent;

#[cfg(test)]
mod tests;
