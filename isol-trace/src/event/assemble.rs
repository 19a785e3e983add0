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
mod tests {
    use isol_trace_common::{
        record::{Entry, FullEntry, Kind},
        user_stack::UserStack,
    };
    use zerocopy::IntoBytes as _;

    use super::*;
    use crate::event::decode::view_full;

    fn words<T: zerocopy::IntoBytes + zerocopy::Immutable>(record: &T) -> Vec<u64> {
        let mut words = vec![0_u64; size_of::<T>() / 8];
        words.as_mut_bytes().copy_from_slice(record.as_bytes());
        words
    }

    fn task(tid: u32, name: &[u8]) -> Task {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name);
        Task {
            kind: Kind::Task as u8,
            tid,
            pid: 70,
            comm,
            ..Task::default()
        }
    }

    fn entry(tid: u32, end: End) -> Entry {
        Entry {
            kind: Kind::Entry as u8,
            cause: Cause::LocalTimer as u8,
            end: end as u8,
            tid,
            opened_ns: 1000,
            duration_ns: 20,
            ..Entry::default()
        }
    }

    #[test]
    fn a_breach_has_the_name_that_was_announced() {
        let mut all = Assembler::new(Pid(1));
        assert_eq!(
            all.record(Cpu(1), words(&task(7, b"feed")).as_bytes()),
            Ok(None)
        );
        let Ok(Some(Event::Breach(breach))) =
            all.record(Cpu(1), words(&entry(7, End::Return)).as_bytes())
        else {
            panic!("no breach")
        };
        assert_eq!(breach.seq, Seq(1));
        assert_eq!(breach.task.comm.as_deref(), Some("feed"));
        assert_eq!(breach.task.pid, Some(Pid(70)));
        // Its name was lost: absent, not somebody else's.
        let Ok(Some(Event::Breach(breach))) =
            all.record(Cpu(1), words(&entry(8, End::Return)).as_bytes())
        else {
            panic!("no breach")
        };
        assert_eq!(
            breach.task,
            TaskId {
                pid: None,
                tid: Tid(8),
                comm: None
            }
        );
    }

    #[test]
    fn a_new_name_replaces_the_old_one() {
        let mut all = Assembler::new(Pid(1));
        for name in [b"old", b"new"] {
            all.record(Cpu(1), words(&task(7, name)).as_bytes())
                .unwrap();
            let event = all
                .record(Cpu(1), words(&entry(7, End::Return)).as_bytes())
                .unwrap();
            let Some(Event::Breach(breach)) = event else {
                panic!("no breach")
            };
            assert_eq!(breach.task.comm.as_deref(), std::str::from_utf8(name).ok());
        }
    }

    #[test]
    fn a_number_that_shows_late_is_of_the_other_table() {
        let mut all = Assembler::new(Pid(1));
        for (number, expected) in [
            (64, CauseDetail::CompatSyscall { number: 64 }),
            (
                u32::MAX,
                CauseDetail::Syscall {
                    number: None,
                    args: None,
                },
            ),
        ] {
            let late = Entry {
                cause: Cause::Syscall as u8,
                flags: FLAG_LATE_SYSCALL,
                number,
                ..entry(7, End::Return)
            };
            let event = all.record(Cpu(1), words(&late).as_bytes()).unwrap();
            let Some(Event::Breach(breach)) = event else {
                panic!("no breach")
            };
            assert_eq!(breach.cause, expected);
        }
    }

    #[test]
    fn a_victim_comes_back_to_its_breach() {
        let mut all = Assembler::new(Pid(1));
        all.record(Cpu(2), words(&entry(7, End::Switched)).as_bytes())
            .unwrap();
        let back = Back {
            kind: Kind::Back as u8,
            tid: 7,
            cpu: 2,
            opened_ns: 1000,
            away_ns: 5,
            back_ns: 1025,
            ..Back::default()
        };
        let event = all.record(Cpu(2), words(&back).as_bytes()).unwrap();
        let expected = Event::Back {
            breach: Some(Seq(1)),
            away: Nanos(5),
            at: MonoNanos(1025),
            tid: Tid(7),
        };
        assert_eq!(event, Some(expected));
    }

    #[test]
    fn a_task_that_moves_is_an_event_with_its_name() {
        let moved = Moved {
            kind: Kind::Moved as u8,
            tid: 7,
            pid: 70,
            from: 1,
            to: 2,
            at_ns: 5,
            comm: [u64::from_le_bytes(*b"feed\0\0\0\0"), 0],
            ..Moved::default()
        };
        let event = Assembler::new(Pid(1)).record(Cpu(9), words(&moved).as_bytes());
        let expected = Event::Moved {
            task: TaskId {
                pid: Some(Pid(70)),
                tid: Tid(7),
                comm: Some("feed".into()),
            },
            from: Cpu(1),
            to: Cpu(2),
            at: MonoNanos(5),
        };
        assert_eq!(event, Ok(Some(expected)));
    }

    #[test]
    fn a_stack_is_kept_for_whoever_asks_and_once() {
        let mut all = Assembler::new(Pid(1));
        let mut stack = UserStack {
            kind: Kind::UserStack as u8,
            length: 256,
            at_ns: 5,
            cpu: 3,
            tid: 8,
            pid: 7,
            sp: 0x7000_0010,
            ..UserStack::EMPTY
        };
        stack.bytes[0x10] = 1;
        let event = all.record(Cpu(1), words(&stack).as_bytes());
        assert_eq!(event, Ok(None));
        let stacks = all.take_stacks();
        let [stack] = stacks.as_slice() else {
            panic!("{stacks:?}")
        };
        assert_eq!((stack.key.cpu, stack.key.tid), (Cpu(3), Tid(8)));
        assert_eq!((stack.key.at, stack.pid), (MonoNanos(5), Pid(7)));
        assert_eq!(stack.word(0x7000_0010), Some(1));
        assert!(all.take_stacks().is_empty());
    }

    #[test]
    fn the_causes_own_handler_is_not_listed_again() {
        let mut own = ActivityRecord {
            kind: Activity::Vector as u8,
            flags: ACTIVITY_IS_CAUSE | ACTIVITY_TIMED,
            net_ns: 9,
            ..ActivityRecord::default()
        };
        let mut full = FullEntry {
            entry: Entry {
                activities: 2,
                ..entry(7, End::Return)
            },
            args: [0; 6],
            idle_ns: 0,
            activities: [own; 4],
        };
        own.flags = 0;
        own.kind = Activity::Switch as u8;
        own.subject = [
            u64::from_le_bytes(*b"kworker/"),
            u64::from_le_bytes(*b"1:0\0\0\0\0\0"),
        ];
        full.activities[1] = own;
        let Ok(Record::Entry(view)) = view_full(&full) else {
            panic!("no entry")
        };
        let breach = Assembler::new(Pid(1)).breach(Cpu(1), &view);
        assert_eq!(breach.cause_net, Some(Nanos(9)));
        assert_eq!(breach.activities.len(), 1);
        assert_eq!(breach.activities[0].comm.as_deref(), Some("kworker/1:0"));
        assert_eq!(breach.activities[0].net, None, "only one end was seen");
    }
}
