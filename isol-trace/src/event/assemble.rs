//! Records become breaches: names are put to threads, numbers to breaches.
//!
//! Pure: the same records give the same breaches. What only the running host can tell
//! (symbols, interrupt names) is [`crate::attrib`]'s.
//!
//! Rings are read in turns: [`Assembler::begin`], then every ring's records
//! ([`Assembler::record`], [`Assembler::more`]), then [`Assembler::settled`].

use std::sync::Arc;

use isol_trace_common::record::{
    ACTIVITY_IS_CAUSE, ACTIVITY_PERF_EVENT, ACTIVITY_TIMED, ActivityRecord, Back, Entry,
    FLAG_LATE_SYSCALL, FLAG_NO_DURATION, FLAG_SECTION, Moved, Task,
};

use super::{
    decode::{DecodeError, EntryView, Record, decode},
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
    join::Join,
    kill::{Arrived, Kills},
    model::{
        Activity, ActivityItem, Breach, Cause, CauseDetail, End, Event, Function, Kill, Origin,
        TaskId, Unlogged,
    },
    order::Order,
    own::OwnProcesses,
    user_stack::CopiedStack,
};
use crate::cache::Cache;

/// x86 page-fault error code: the page was present, so its rights forbade the access
/// (`arch/x86/include/asm/trap_pf.h`).
const PF_PROT: u32 = 1 << 0;
/// x86 page-fault error code: a write.
const PF_WRITE: u32 = 1 << 1;
/// x86 page-fault error code: taken in user mode.
const PF_USER: u32 = 1 << 2;
/// x86 page-fault error code: an instruction fetch.
const PF_INSTR: u32 = 1 << 4;

/// Threads remembered by name, in each of two generations: those of whom nothing was heard while as many others came are
/// forgotten, and announced again whenever they come back to a CPU. One that never leaves its CPU is not.
const NAMES: usize = 32_768;

/// Switched breaches whose victims are still away, likewise.
const AWAY: usize = 32_768;

/// A record that waits for what could have led to it.
#[derive(Debug)]
enum Unsettled {
    /// Without its number and its origins.
    Breach(Box<Breach>),
    Back(Back),
    Moved(Moved),
    Kill(Box<Arrived>),
}

/// Puts records together.
#[derive(Debug)]
pub struct Assembler {
    join: Join,
    order: Order<Unsettled>,
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
            names: Cache::new(NAMES),
            last: None,
            away: Cache::new(AWAY),
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

    /// A turn through all rings begins. `now` is read before the first of them.
    pub const fn begin(&mut self, now: MonoNanos) {
        self.order.begin(now);
    }

    /// Takes one record of the ring of `cpu`.
    pub fn record(&mut self, cpu: Cpu, bytes: &[u8]) -> Result<(), DecodeError> {
        match decode(bytes)? {
            Record::Entry(view) => {
                let breach = Box::new(self.breach(cpu, &view));
                self.order
                    .put(breach.seen_until(), Unsettled::Breach(breach));
            }
            Record::Back(back) => {
                let at = MonoNanos(back.back_ns);
                self.order.put(at, Unsettled::Back(*back));
            }
            Record::Moved(moved) => {
                let at = MonoNanos(moved.at_ns);
                self.order.put(at, Unsettled::Moved(*moved));
            }
            Record::Kill(raiser, signal, kill, entry) => {
                let mut arrived = Box::new(Arrived::of(kill, raiser, signal));
                arrived.entry_was(entry.as_ref().map(unlogged));
                self.order
                    .put(MonoNanos(kill.at_ns), Unsettled::Kill(arrived));
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

    /// The ring of the last record has more than this turn takes.
    pub fn more(&mut self) {
        self.order.more();
    }

    /// Ends the turn: hands over, in the order in which they ended, the events whose senders are
    /// all known. Breaches have their numbers and origins then. The others wait for the next turn.
    pub fn settled(&mut self, mut take: impl FnMut(Event)) {
        for item in self.order.settled() {
            match item {
                Unsettled::Breach(mut breach) => {
                    self.number(&mut breach);
                    self.join.join(&mut breach);
                    let mut killed = Vec::new();
                    self.kills.numbered(&breach, |kill| killed.push(kill));
                    take(Event::Breach(breach));
                    for kill in killed {
                        take(Event::Kill(Box::new(kill)));
                    }
                }
                Unsettled::Back(back) => take(self.back(&back)),
                Unsettled::Moved(moved) => take(moved_task(&moved)),
                Unsettled::Kill(arrived) => self
                    .kills
                    .came(*arrived, |kill| take(Event::Kill(Box::new(kill)))),
            }
        }
    }

    /// After the last turn: hands over the kills whose breaches have no record.
    pub fn finish(&mut self, mut take: impl FnMut(Box<Kill>)) {
        self.kills.finish(|kill| take(Box::new(kill)));
    }

    /// Gives a breach the next number of the log.
    fn number(&mut self, breach: &mut Breach) {
        self.next += 1;
        breach.seq = Seq(self.next);
        if breach.end == End::Switched {
            self.away.insert((breach.cpu, breach.at), breach.seq);
        }
    }

    fn name(&mut self, task: &Task) {
        let named = TaskId {
            pid: Some(Pid(task.pid)),
            tid: Tid(task.tid),
            comm: Some(comm(&task.comm)),
        };
        self.last = None;
        self.names.insert(task.tid, named);
    }

    /// The thread by name. Consecutive entries are mostly of one thread.
    fn task(&mut self, tid: u32) -> TaskId {
        if let Some(last) = &self.last
            && last.tid.0 == tid
        {
            return last.clone();
        }
        let task = self.names.get(&tid).unwrap_or_else(|| unnamed(tid));
        self.last = Some(task.clone());
        task
    }

    /// The same of a thread that need not come again.
    fn named(&self, tid: u32) -> TaskId {
        let named = self.names.peek(&tid).cloned();
        named.unwrap_or_else(|| unnamed(tid))
    }

    /// Makes a breach of an entry; its number comes when it is settled.
    fn breach(&mut self, cpu: Cpu, view: &EntryView<'_>) -> Breach {
        let entry = view.entry;
        let own = view
            .activities
            .iter()
            .find(|item| item.flags & ACTIVITY_IS_CAUSE != 0);
        Breach {
            seq: Seq(0),
            at: MonoNanos(entry.opened_ns),
            cpu,
            duration: duration(entry),
            idle: Nanos(view.idle_ns),
            end: view.end,
            section: Some(entry.flags & FLAG_SECTION != 0),
            task: self.task(entry.tid),
            cause: cause(view),
            cause_name: None,
            cause_handler: None,
            cause_net: own.and_then(net),
            cause_began: own.and_then(began),
            user_since: view
                .cause
                .is_vector()
                .then_some(entry.subject)
                .filter(|&since| since != 0)
                .map(MonoNanos),
            ip: Address(entry.ip),
            location: None,
            source: None,
            inlined: Arc::default(),
            activities: view
                .activities
                .iter()
                .filter(|item| item.flags & ACTIVITY_IS_CAUSE == 0)
                .filter_map(|item| self.activity(item))
                .collect(),
            dropped_activities: entry.dropped_activities,
            origins: Vec::new(),
            remedy: None,
        }
    }

    /// One thing that the kernel did; of a perf event's timer with whose it is.
    fn activity(&self, record: &ActivityRecord) -> Option<ActivityItem> {
        let mut item = activity(record)?;
        if record.flags & ACTIVITY_PERF_EVENT != 0 {
            item.number = 0;
            let owner = (record.number != 0).then(|| self.named(record.number));
            let callback = item.address.and_then(|Address(it)| Function::at(it));
            item.origin = Some(Origin::of_perf_event(owner, callback));
        }
        Some(item)
    }

    fn back(&mut self, back: &Back) -> Event {
        Event::Back {
            breach: self.away.take(&(Cpu(back.cpu), MonoNanos(back.opened_ns))),
            away: Nanos(back.away_ns),
            at: MonoNanos(back.back_ns),
            tid: Tid(back.tid),
        }
    }
}

const fn unnamed(tid: u32) -> TaskId {
    TaskId {
        pid: None,
        tid: Tid(tid),
        comm: None,
    }
}

fn moved_task(moved: &Moved) -> Event {
    Event::Moved {
        task: TaskId {
            pid: (moved.pid != 0).then_some(Pid(moved.pid)),
            tid: Tid(moved.tid),
            comm: Some(name(moved.comm)),
        },
        from: Cpu(moved.from),
        to: Cpu(moved.to),
        at: MonoNanos(moved.at_ns),
    }
}

fn net(item: &ActivityRecord) -> Option<Nanos> {
    (item.flags & ACTIVITY_TIMED != 0).then_some(Nanos(item.net_ns))
}

/// When a vector began.
fn began(item: &ActivityRecord) -> Option<MonoNanos> {
    let [_, at] = item.subject;
    (item.kind == Activity::Vector as u8 && at != 0).then_some(MonoNanos(at))
}

fn cause(view: &EntryView<'_>) -> CauseDetail {
    let entry = view.entry;
    let subject = (entry.subject != 0).then_some(Address(entry.subject));
    match view.cause {
        // A number that only shows at the return is the 32-bit gate's.
        Cause::Syscall if entry.flags & FLAG_LATE_SYSCALL != 0 && entry.number != u32::MAX => {
            CauseDetail::CompatSyscall {
                number: entry.number,
            }
        }
        Cause::Syscall => CauseDetail::Syscall {
            number: (entry.number != u32::MAX).then_some(entry.number),
            args: view.args.copied(),
        },
        Cause::PageFault => CauseDetail::PageFault {
            address: Address(entry.subject),
            write: entry.number & PF_WRITE != 0,
            user: entry.number & PF_USER != 0,
            fetch: entry.number & PF_INSTR != 0,
            protection: entry.number & PF_PROT != 0,
        },
        Cause::Exception => CauseDetail::Exception {
            trap: Some(entry.number),
        },
        Cause::DeviceIrq => CauseDetail::DeviceIrq {
            irq: entry.number,
            handler: subject,
        },
        Cause::Nmi => CauseDetail::Nmi { handler: subject },
        other => CauseDetail::Plain(other),
    }
}

fn activity(item: &ActivityRecord) -> Option<ActivityItem> {
    // Decoding has checked the word; `None` does not occur.
    let kind = Activity::from_wire(item.kind)?;
    let [first, second] = item.subject;
    let switch = kind == Activity::Switch;
    Some(ActivityItem {
        kind,
        number: item.number,
        address: (!switch && first != 0).then_some(Address(first)),
        key: matches!(
            kind,
            Activity::Csd
                | Activity::Work
                | Activity::Timer
                | Activity::Hrtimer
                | Activity::IrqWork
        )
        .then_some(second)
        .filter(|&key| key != 0)
        .map(Address),
        began: began(item),
        comm: switch.then(|| name(item.subject)),
        net: net(item),
        name: None,
        kin: None,
        origin: None,
    })
}

/// A thread's name that came as two words.
fn name_bytes(words: [u64; 2]) -> [u8; 16] {
    let mut name = [0; 16];
    for (bytes, word) in name.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    name
}

/// A thread's name that came as two words, up to its NUL.
pub(super) fn name(words: [u64; 2]) -> Arc<str> {
    comm(&name_bytes(words))
}

/// An entry whose record found no room.
pub(super) fn unlogged(view: &EntryView<'_>) -> Unlogged {
    Unlogged {
        at: MonoNanos(view.entry.opened_ns),
        duration: duration(view.entry),
        cause: cause(view),
        cause_name: None,
        ip: Address(view.entry.ip),
        location: None,
        source: None,
    }
}

/// How long an entry took; `None` where its end was not seen.
fn duration(entry: &Entry) -> Option<Nanos> {
    (entry.flags & FLAG_NO_DURATION == 0).then_some(Nanos(entry.duration_ns))
}

/// A thread's name up to its NUL; bytes that are no UTF-8 are replaced.
pub(super) fn comm(bytes: &[u8; 16]) -> Arc<str> {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into()
}

#[cfg(test)]
mod tests;
