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
