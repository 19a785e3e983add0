//! Kills that wait for the breach that led to them, and get the breaches before it.

mod recent;

use std::collections::VecDeque;

use isol_trace_common::kill::{
    self as wire, KILL_BY_INTERRUPT, KILL_FATAL, KILL_SENDER, Raiser, SI_KERNEL,
};

use self::recent::RecentBreaches;
use super::{
    cause::CauseDetail,
    entry::KernelEntry,
    ids::{Cpu, MonoNanos, Pid, Seq, Tid},
    kill::{KilledBy, SI_TIMER, Signaller},
    raw::{DeliveredSignal, RawKill, RawUnlogged},
    signal::Signal,
    task::TaskId,
    thread_name::thread_name,
};

/// `SI_USER`: sent by `kill(2)`, or by the kernel as if the task had sent it to itself.
const SI_USER: i32 = 0;

/// Breaches of the same task that a kill names, the one that led to it included.
const HISTORY: usize = 9;

/// Kills that may wait for their breach; of more the oldest goes without.
const MAX_WAITING: usize = 256;

/// Brings kills and breaches together.
#[derive(Debug, Default)]
pub(super) struct Kills {
    recent: RecentBreaches,
    /// Kills whose breach has not ended yet.
    waiting: VecDeque<PendingKill>,
}

impl Kills {
    /// A breach has its number: gives the kills that waited for it, or can wait no longer.
    pub(super) fn numbered(
        &mut self,
        seq: Seq,
        entry: &KernelEntry,
        mut take: impl FnMut(RawKill),
    ) {
        let Self { recent, waiting } = self;
        recent.add(seq, entry, |cpu, tid| {
            waiting.iter().any(|it| it.is_of(cpu, tid))
        });
        if self.waiting.is_empty() {
            return;
        }
        // Entries of a CPU end in order: after a later one theirs can only have been lost.
        let waiting = std::mem::take(&mut self.waiting);
        for pending in waiting {
            match pending.opened {
                Some((cpu, at)) if cpu != entry.cpu || at > entry.at => {
                    self.waiting.push_back(pending);
                }
                _ => take(self.with_history(pending)),
            }
        }
    }

    /// A kill: given at once if its breach has a number, or never will.
    pub(super) fn on_record(&mut self, pending: PendingKill, mut take: impl FnMut(RawKill)) {
        let is_known = match pending.opened {
            None => true,
            Some((cpu, at)) => self.recent.has_reached(cpu, at),
        };
        if is_known {
            take(self.with_history(pending));
            return;
        }
        self.waiting.push_back(pending);
        if self.waiting.len() > MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            take(self.with_history(oldest));
        }
    }

    /// The log ends: gives all that wait.
    pub(super) fn finish(&mut self, mut take: impl FnMut(RawKill)) {
        while let Some(pending) = self.waiting.pop_front() {
            take(self.with_history(pending));
        }
    }

    /// The kill with its breach and history.
    fn with_history(&self, pending: PendingKill) -> RawKill {
        let PendingKill {
            delivered,
            opened,
            led,
        } = pending;
        let (entered, until) = opened.unwrap_or((delivered.cpu, delivered.at));
        let own: Vec<_> = self
            .recent
            .of(entered, delivered.task.tid)
            .filter(|recent| recent.at <= until)
            .collect();
        let breach = own.last().and_then(|last| {
            let is_it = match opened {
                Some((_, at)) => last.at == at,
                None => led.is_some() && last.led == led,
            };
            is_it.then_some(last.seq)
        });
        let skipped = own.len().saturating_sub(HISTORY);
        RawKill {
            delivered,
            breach,
            history: own.iter().skip(skipped).map(|recent| recent.seq).collect(),
        }
    }
}

/// A kill that may have to wait for the end of the entry that led to it.
#[derive(Debug)]
pub(super) struct PendingKill {
    delivered: DeliveredSignal,
    /// CPU and beginning of the entry; `None` where there is none.
    opened: Option<(Cpu, MonoNanos)>,
    /// What the last entry of the thread has been if it led to this; `None` where that is not known.
    led: Option<Led>,
}

impl PendingKill {
    /// What a record tells.
    pub(super) fn of(
        kill: &wire::Kill,
        raiser: Raiser,
        signal: Signal,
        entry: Option<RawUnlogged>,
    ) -> Self {
        let by = raised_by(kill, raiser, signal);
        Self {
            led: Led::to(kill, &by, signal),
            delivered: DeliveredSignal {
                at: MonoNanos(kill.at_ns),
                cpu: Cpu(kill.cpu),
                task: TaskId {
                    pid: Some(Pid(kill.pid)),
                    tid: Tid(kill.tid),
                    comm: Some(thread_name(kill.comm)),
                },
                signal,
                fatal: kill.flags & KILL_FATAL != 0,
                by,
                code: (kill.flags & KILL_SENDER != 0).then_some(kill.code),
                entry,
            },
            opened: (kill.opened_ns != 0)
                .then_some((Cpu(kill.entry_cpu), MonoNanos(kill.opened_ns))),
        }
    }

    /// Whether it waits for a breach of this thread on this CPU.
    fn is_of(&self, cpu: Cpu, tid: Tid) -> bool {
        self.delivered.task.tid == tid && self.opened.is_some_and(|(entered, _)| entered == cpu)
    }
}

/// Who raised the signal of a record.
fn raised_by(kill: &wire::Kill, raiser: Raiser, signal: Signal) -> KilledBy {
    match raiser {
        Raiser::StrictMode => return KilledBy::StrictMode,
        Raiser::Tracer => return KilledBy::Tracer,
        Raiser::Signal => {}
    }
    if kill.flags & KILL_SENDER == 0 {
        return KilledBy::Unknown;
    }
    let by_interrupt = kill.flags & KILL_BY_INTERRUPT != 0;
    let (own_process, own_thread) = (kill.sender_pid == kill.pid, kill.sender_tid == kill.tid);
    // Positive codes are the kernel's (`include/uapi/asm-generic/siginfo.h`, SI_FROMUSER), SI_KERNEL
    // among them, which a general protection fault has, but also a limit of CPU time that the task
    // expires itself and a lack of memory that its own fault finds (mm/oom_kill.c, v6.12).
    match kill.code {
        _ if by_interrupt => KilledBy::Kernel,
        SI_TIMER => KilledBy::Kernel,
        1.. if signal.is_of_a_fault() && own_process => KilledBy::Task,
        1.. => KilledBy::Kernel,
        // The limit of a file's size is sent as the task's own (fs/attr.c:inode_newsize_ok, v6.12).
        SI_USER if signal == Signal::FILE_SIZE && own_thread => KilledBy::Kernel,
        _ if own_process => KilledBy::Task,
        _ => KilledBy::Remote(Signaller {
            cpu: Cpu(kill.sender_cpu),
            task: TaskId {
                pid: Some(Pid(kill.sender_pid)),
                tid: Tid(kill.sender_tid),
                comm: Some(thread_name(kill.sender_comm)),
            },
        }),
    }
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
    /// What an entry can have led to.
    const fn by(entry: &KernelEntry) -> Option<Self> {
        match entry.cause {
            CauseDetail::Syscall { .. } | CauseDetail::CompatSyscall { .. } => Some(Self::Call),
            CauseDetail::PageFault { .. } => Some(Self::PageFault),
            _ => None,
        }
    }

    /// What must have led to a signal that the thread has raised itself.
    ///
    /// Without context tracking a system call is closed where its own work ends, and signals are
    /// delivered after that; a fault is closed at the next entry.
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

#[cfg(test)]
mod tests;
