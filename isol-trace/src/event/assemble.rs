//! Records become events: names are put to threads, numbers to breaches, senders to what they asked for.
//!
//! Pure: the same records give the same breaches. What only the running host can tell
//! (symbols, interrupt names) is [`crate::attrib`]'s.
//!
//! Rings are read in polls: [`Assembler::begin`], then every ring's records
//! ([`Assembler::record`], [`Assembler::more`]), then [`Assembler::drain_ready`].

use isol_trace_common::record::{Back, End, Moved, Task};

use super::{
    decode::{DecodeError, Record, decode},
    entry::KernelEntry,
    ids::{Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
    join::Join,
    model::Event,
    order::Order,
    own::OwnProcesses,
    pending_kills::{Kills, PendingKill},
    raw::{RawEvent, RawKill, RawUnlogged},
    task::TaskId,
    thread_name::{thread_name, thread_name_of},
    user_stack::CopiedStack,
};
use crate::cache::{Cache, cache};

/// Threads remembered by name: those of whom nothing was heard while as many others came are
/// forgotten, and announced again whenever they come back to a CPU. One that never leaves its CPU is not.
const NAMES: usize = 65_536;

/// Switched breaches whose tasks are still away: twice as many as the programs keep, which forget in an order of their own.
const AWAY: usize = 2 * 65_536;

/// A record that waits for what could have led to it.
#[derive(Debug)]
enum Waiting {
    Entry(Box<KernelEntry>),
    Back(Back),
    Moved(Moved),
    Kill(Box<PendingKill>),
}

/// Puts records together.
#[derive(Debug)]
pub struct Assembler {
    join: Join,
    order: Order<Waiting>,
    names: Cache<u32, TaskId>,
    last: Option<TaskId>,
    away: Cache<(Cpu, MonoNanos), Seq>,
    stacks: Vec<CopiedStack>,
    kills: Kills,
    next: u64,
}

impl Assembler {
    /// An assembler whose first breach has the number 1. `own` are the tracer's processes.
    #[must_use]
    pub fn new(own: impl Into<OwnProcesses>) -> Self {
        Self {
            join: Join::new(own),
            order: Order::new(),
            names: cache(NAMES),
            last: None,
            away: cache(AWAY),
            stacks: Vec::new(),
            kills: Kills::default(),
            next: 0,
        }
    }

    /// Senders that were forgotten for want of room, before their breach came.
    #[must_use]
    pub const fn forgotten_senders(&self) -> u64 {
        self.join.evicted()
    }

    /// The user stacks of senders that came since this was last asked.
    pub fn take_stacks(&mut self) -> Vec<CopiedStack> {
        std::mem::take(&mut self.stacks)
    }

    /// A poll of all rings begins. `now` is read before the first of them.
    pub const fn begin(&mut self, now: MonoNanos) {
        self.order.begin(now);
    }

    /// Takes one record of the ring of `cpu`.
    pub fn record(&mut self, cpu: Cpu, bytes: &[u8]) -> Result<(), DecodeError> {
        match decode(bytes)? {
            Record::Entry(view) => {
                let task = self.task(Tid(view.entry.tid));
                let entry = KernelEntry::of(cpu, &view, task, |tid| self.named(tid));
                self.order
                    .put(entry.seen_until(), Waiting::Entry(Box::new(entry)));
            }
            Record::Back(back) => {
                let at = MonoNanos(back.back_ns);
                self.order.put(at, Waiting::Back(*back));
            }
            Record::Moved(moved) => {
                let at = MonoNanos(moved.at_ns);
                self.order.put(at, Waiting::Moved(*moved));
            }
            Record::Kill(raiser, signal, kill, entry) => {
                let entry = entry.as_ref().map(RawUnlogged::of);
                let pending = PendingKill::of(kill, raiser, signal, entry);
                self.order
                    .put(MonoNanos(kill.at_ns), Waiting::Kill(Box::new(pending)));
            }
            Record::Send(via, send) => {
                self.order.read(MonoNanos(send.at_ns));
                self.join.sent(via, send);
            }
            Record::Kin(kin) => self.join.kin(kin),
            Record::UserStack(stack, bytes) => {
                self.stacks.push(CopiedStack::of(stack, bytes));
            }
            Record::Task(task) => self.name(task),
        }
        Ok(())
    }

    /// The ring of the last record has more than this batch.
    pub fn more(&mut self) {
        self.order.more();
    }

    /// Ends the poll: hands over, in the order in which they ended, the events whose senders are
    /// all known. The others wait for the next poll.
    pub fn drain_ready(&mut self, mut take: impl FnMut(RawEvent)) {
        for item in self.order.drain_ready() {
            match item {
                Waiting::Entry(entry) => {
                    let seq = self.number(&entry);
                    let mut killed = Vec::new();
                    self.kills.numbered(seq, &entry, |kill| killed.push(kill));
                    let breach = self.join.join(seq, *entry);
                    take(RawEvent::Breach(Box::new(breach)));
                    for kill in killed {
                        take(RawEvent::Kill(Box::new(kill)));
                    }
                }
                Waiting::Back(back) => take(RawEvent::Complete(self.back(&back))),
                Waiting::Moved(moved) => take(RawEvent::Complete(moved_task(&moved))),
                Waiting::Kill(pending) => self
                    .kills
                    .on_record(*pending, |kill| take(RawEvent::Kill(Box::new(kill)))),
            }
        }
    }

    /// After the last poll: hands over the kills whose breaches have no record.
    pub fn finish(&mut self, take: impl FnMut(RawKill)) {
        self.kills.finish(take);
    }

    /// The next number of the log, for an entry.
    fn number(&mut self, entry: &KernelEntry) -> Seq {
        self.next += 1;
        let seq = Seq(self.next);
        if entry.end == End::Switched {
            self.away.put((entry.cpu, entry.at), seq);
        }
        seq
    }

    fn name(&mut self, task: &Task) {
        let named = TaskId {
            pid: Some(Pid(task.pid)),
            tid: Tid(task.tid),
            comm: Some(thread_name_of(&task.comm)),
        };
        self.last = None;
        self.names.put(task.tid, named);
    }

    /// The thread by name. Consecutive entries are mostly of one thread.
    fn task(&mut self, tid: Tid) -> TaskId {
        if let Some(last) = &self.last
            && last.tid == tid
        {
            return last.clone();
        }
        let task = self
            .names
            .get(&tid.0)
            .cloned()
            .unwrap_or_else(|| unnamed(tid));
        self.last = Some(task.clone());
        task
    }

    /// The same of a thread that need not come again.
    fn named(&self, tid: Tid) -> TaskId {
        let named = self.names.peek(&tid.0).cloned();
        named.unwrap_or_else(|| unnamed(tid))
    }

    fn back(&mut self, back: &Back) -> Event {
        Event::Back {
            breach: self.away.pop(&(Cpu(back.cpu), MonoNanos(back.opened_ns))),
            away: Nanos(back.away_ns),
            at: MonoNanos(back.back_ns),
            tid: Tid(back.tid),
        }
    }
}

const fn unnamed(tid: Tid) -> TaskId {
    TaskId {
        pid: None,
        tid,
        comm: None,
    }
}

fn moved_task(moved: &Moved) -> Event {
    Event::Moved {
        task: TaskId {
            pid: (moved.pid != 0).then_some(Pid(moved.pid)),
            tid: Tid(moved.tid),
            comm: Some(thread_name(moved.comm)),
        },
        from: Cpu(moved.from),
        to: Cpu(moved.to),
        at: MonoNanos(moved.at_ns),
    }
}

#[cfg(test)]
mod tests;
