//! Records become breaches: names are put to threads, numbers to breaches.
//!
//! Pure: the same records give the same breaches. What only the running host can tell
//! (symbols, interrupt names) is [`crate::attrib`]'s.

use std::{collections::HashMap, sync::Arc};

use isol_trace_common::record::{
    ACTIVITY_IS_CAUSE, ACTIVITY_TIMED, ActivityRecord, Back, FLAG_LATE_SYSCALL, FLAG_NO_DURATION,
    FLAG_SECTION, Moved, Task,
};

use super::{
    decode::{DecodeError, EntryView, Record, decode},
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
    join::Join,
    model::{Activity, ActivityItem, Breach, Cause, CauseDetail, End, Event, TaskId},
    user_stack::CopiedStack,
};

/// x86 page-fault error code: the page was present, so its rights forbade the access
/// (`arch/x86/include/asm/trap_pf.h`).
const PF_PROT: u32 = 1 << 0;
/// x86 page-fault error code: a write.
const PF_WRITE: u32 = 1 << 1;
/// x86 page-fault error code: taken in user mode.
const PF_USER: u32 = 1 << 2;
/// x86 page-fault error code: an instruction fetch.
const PF_INSTR: u32 = 1 << 4;

/// Threads remembered by name; beyond that the map starts anew, and threads are announced
/// again whenever they come back to a CPU.
const MAX_NAMES: usize = 65_536;

/// Switched breaches whose victims are still away.
const MAX_AWAY: usize = 65_536;

/// Puts records together.
#[derive(Debug)]
pub struct Assembler {
    join: Join,
    names: HashMap<u32, TaskId>,
    last: Option<TaskId>,
    away: HashMap<(u32, u64), Seq>,
    stacks: Vec<CopiedStack>,
    next: u64,
}

impl Assembler {
    /// An assembler whose first breach has the number 1. `own` is the tracer's process.
    #[must_use]
    pub fn new(own: Pid) -> Self {
        Self {
            join: Join::new(own),
            names: HashMap::new(),
            last: None,
            away: HashMap::new(),
            stacks: Vec::new(),
            next: 0,
        }
    }

    /// Fills in who provoked a breach, once every sender's record of its time has been taken.
    pub fn join(&mut self, breach: &mut Breach) {
        self.join.join(breach);
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

    /// Takes one record. A thread's name gives no event, and neither does a sender.
    pub fn record(&mut self, cpu: Cpu, bytes: &[u8]) -> Result<Option<Event>, DecodeError> {
        Ok(match decode(bytes)? {
            Record::Entry(view) => Some(Event::Breach(Box::new(self.breach(cpu, &view)))),
            Record::Back(back) => Some(self.back(back)),
            Record::Moved(moved) => Some(moved_task(moved)),
            Record::Send(via, send) => {
                self.join.sent(via, send);
                None
            }
            Record::UserStack(stack, bytes) => {
                self.stacks.push(CopiedStack::of(stack, bytes));
                None
            }
            Record::Task(task) => {
                self.name(task);
                None
            }
        })
    }

    fn name(&mut self, task: &Task) {
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
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
        let task = self.names.get(&tid).cloned().unwrap_or(TaskId {
            pid: None,
            tid: Tid(tid),
            comm: None,
        });
        self.last = Some(task.clone());
        task
    }

    /// Makes a breach of an entry.
    pub fn breach(&mut self, cpu: Cpu, view: &EntryView<'_>) -> Breach {
        let entry = view.entry;
        self.next += 1;
        let seq = Seq(self.next);
        if view.end == End::Switched {
            if self.away.len() >= MAX_AWAY {
                self.away.clear();
            }
            self.away.insert((cpu.0, entry.opened_ns), seq);
        }
        let own = view
            .activities
            .iter()
            .find(|item| item.flags & ACTIVITY_IS_CAUSE != 0);
        Breach {
            seq,
            at: MonoNanos(entry.opened_ns),
            cpu,
            duration: (entry.flags & FLAG_NO_DURATION == 0).then_some(Nanos(entry.duration_ns)),
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
                .filter_map(activity)
                .collect(),
            dropped_activities: entry.dropped_activities,
            origins: Vec::new(),
            remedy: None,
        }
    }

    fn back(&mut self, back: &Back) -> Event {
        Event::Back {
            breach: self.away.remove(&(back.cpu, back.opened_ns)),
            away: Nanos(back.away_ns),
            at: MonoNanos(back.back_ns),
            tid: Tid(back.tid),
        }
    }

    /// Breaches so far.
    #[must_use]
    pub const fn breaches(&self) -> u64 {
        self.next
    }
}

fn moved_task(moved: &Moved) -> Event {
    Event::Moved {
        task: TaskId {
            pid: (moved.pid != 0).then_some(Pid(moved.pid)),
            tid: Tid(moved.tid),
            comm: Some(comm(&name_bytes(moved.comm))),
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
            Activity::Csd | Activity::Work | Activity::Timer | Activity::Hrtimer
        )
        .then_some(second)
        .filter(|&key| key != 0)
        .map(Address),
        began: began(item),
        comm: switch.then(|| comm(&name_bytes(item.subject))),
        net: net(item),
        name: None,
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
