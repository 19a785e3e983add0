use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    record::{
        ACTIVITY_IS_CAUSE, ACTIVITY_PERF_EVENT, ACTIVITY_TIMED, ActivityRecord, Entry,
        FLAG_LATE_SYSCALL, FullEntry, Kind,
    },
    send::{Send, Via},
    user_stack::UserStack,
};
use zerocopy::IntoBytes as _;

use super::*;
use crate::event::{cause::CauseDetail, origin::Origin, raw::RawBreach};

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

/// The event that a record becomes, if it becomes one.
fn event_of(all: &mut Assembler, cpu: u32, bytes: &[u8]) -> Option<RawEvent> {
    let mut events = Vec::new();
    all.begin(MonoNanos(u64::MAX));
    all.record(Cpu(cpu), bytes).unwrap();
    all.drain_ready(|event| events.push(event));
    assert!(events.len() <= 1, "{events:?}");
    events.pop()
}

#[test]
fn a_breach_has_the_name_that_was_announced() {
    let mut all = Assembler::new(Pid(1));
    assert_eq!(
        event_of(&mut all, 1, words(&task(7, b"feed")).as_bytes()),
        None
    );
    let Some(RawEvent::Breach(breach)) =
        event_of(&mut all, 1, words(&entry(7, End::Return)).as_bytes())
    else {
        panic!("no breach")
    };
    assert_eq!(breach.seq, Seq(1));
    assert_eq!(breach.entry.task.comm.as_deref(), Some("feed"));
    assert_eq!(breach.entry.task.pid, Some(Pid(70)));
    // Its name was lost: absent, not somebody else's.
    let Some(RawEvent::Breach(breach)) =
        event_of(&mut all, 1, words(&entry(8, End::Return)).as_bytes())
    else {
        panic!("no breach")
    };
    assert_eq!(
        breach.entry.task,
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
        event_of(&mut all, 1, words(&task(7, name)).as_bytes());
        let event = event_of(&mut all, 1, words(&entry(7, End::Return)).as_bytes());
        let Some(RawEvent::Breach(breach)) = event else {
            panic!("no breach")
        };
        assert_eq!(
            breach.entry.task.comm.as_deref(),
            std::str::from_utf8(name).ok()
        );
    }
}

/// One that stays on its CPU is announced once.
#[test]
fn threads_of_others_by_the_thousand_take_no_name_from_one_that_stays() {
    let mut all = Assembler::new(Pid(1));
    event_of(&mut all, 1, words(&task(7, b"feed")).as_bytes());
    for tid in 1000..1000 + 100_000 {
        event_of(&mut all, 2, words(&task(tid, b"other")).as_bytes());
        if tid % 1000 == 0 {
            let event = event_of(&mut all, 1, words(&entry(7, End::Return)).as_bytes());
            let Some(RawEvent::Breach(breach)) = event else {
                panic!("no breach")
            };
            assert_eq!(breach.entry.task.comm.as_deref(), Some("feed"), "{tid}");
        }
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
        let event = event_of(&mut all, 1, words(&late).as_bytes());
        let Some(RawEvent::Breach(breach)) = event else {
            panic!("no breach")
        };
        assert_eq!(breach.entry.cause, expected);
    }
}

#[test]
fn a_victim_comes_back_to_its_breach() {
    let mut all = Assembler::new(Pid(1));
    event_of(&mut all, 2, words(&entry(7, End::Switched)).as_bytes());
    let back = Back {
        kind: Kind::Back as u8,
        tid: 7,
        cpu: 2,
        opened_ns: 1000,
        away_ns: 5,
        back_ns: 1025,
        ..Back::default()
    };
    let event = event_of(&mut all, 2, words(&back).as_bytes());
    let expected = Event::Back {
        breach: Some(Seq(1)),
        away: Nanos(5),
        at: MonoNanos(1025),
        tid: Tid(7),
    };
    assert_eq!(event, Some(RawEvent::Complete(expected)));
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
    let event = event_of(&mut Assembler::new(Pid(1)), 9, words(&moved).as_bytes());
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
    assert_eq!(event, Some(RawEvent::Complete(expected)));
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
    assert_eq!(event_of(&mut all, 1, words(&stack).as_bytes()), None);
    let stacks = all.take_stacks();
    let [stack] = stacks.as_slice() else {
        panic!("{stacks:?}")
    };
    assert_eq!((stack.key.cpu, stack.key.tid), (Cpu(3), Tid(8)));
    assert_eq!((stack.key.at, stack.pid), (MonoNanos(5), Pid(7)));
    assert_eq!(stack.asked(1).word(0x7000_0010), Some(1));
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
            kind: Kind::EntryFew as u8,
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
    let RawBreach { entry, .. } = breach_of(&mut Assembler::new(Pid(1)), &full);
    assert_eq!(entry.cause_net, Some(Nanos(9)));
    assert_eq!(entry.activities.len(), 1);
    assert_eq!(entry.activities[0].comm.as_deref(), Some("kworker/1:0"));
    assert_eq!(entry.activities[0].net, None, "only one end was seen");
}

/// The breach that an entry with activities becomes.
fn breach_of(all: &mut Assembler, full: &FullEntry<4>) -> RawBreach {
    let bytes = [
        full.entry.as_bytes(),
        full.args.as_bytes(),
        full.idle_ns.as_bytes(),
        full.activities.as_bytes(),
    ]
    .concat();
    // A ring's records lie at multiples of eight.
    let mut words = vec![0_u64; bytes.len() / 8];
    words.as_mut_bytes().copy_from_slice(&bytes);
    match event_of(all, 1, words.as_bytes()) {
        Some(RawEvent::Breach(breach)) => *breach,
        other => panic!("{other:?}"),
    }
}

/// An entry in which the timer of a perf event expired, as the kernel's side writes it.
fn sampled(owner: u32) -> FullEntry<4> {
    let timer = ActivityRecord {
        kind: Activity::Hrtimer as u8,
        flags: ACTIVITY_PERF_EVENT,
        number: owner,
        subject: [0xffff_8000, 0xff11_0000],
        ..ActivityRecord::default()
    };
    FullEntry {
        entry: Entry {
            kind: Kind::EntryFew as u8,
            activities: 1,
            ..entry(7, End::Return)
        },
        args: [0; 6],
        idle_ns: 0,
        activities: [timer; 4],
    }
}

#[test]
fn a_perf_events_timer_is_its_owners() {
    let own = Pid(70);
    for (tracer, kind) in [(Pid(1), "kernel"), (own, "tracer")] {
        let mut all = Assembler::new(tracer);
        let mut origin_of = |owner| {
            let mut breach = breach_of(&mut all, &sampled(owner));
            assert_eq!(breach.asked[0].origin, None, "told once");
            breach.origins.pop().unwrap()
        };
        let nobody = origin_of(0);
        assert_eq!(nobody.word(), "kernel");
        assert!(nobody.sender().is_some_and(|it| it.task.is_none()));
        let unnamed = origin_of(71);
        let owner = unnamed.sender().and_then(|it| it.task.as_ref()).unwrap();
        assert_eq!((owner.tid, owner.pid), (Tid(71), None), "its name was lost");
        all.record(Cpu(1), words(&task(72, b"perf")).as_bytes())
            .unwrap();
        let breach = breach_of(&mut all, &sampled(72));
        let [origin] = breach.origins.as_slice() else {
            panic!("{:?}", breach.origins)
        };
        assert_eq!(origin.word(), kind);
        let sender = origin.sender().unwrap();
        assert_eq!(
            (sender.via, sender.at, sender.cpu),
            (Via::PerfEvent, None, None)
        );
        let owner = sender.task.as_ref().unwrap();
        assert_eq!(owner.comm.as_deref(), Some("perf"));
        assert_eq!(owner.pid, Some(own));
    }
}

/// The receiver's ring is read after its sender had written and after the sender's ring was read.
#[test]
fn a_breach_waits_until_its_senders_ring_has_been_read() {
    let called = Entry {
        cause: Cause::Reschedule as u8,
        opened_ns: 150,
        duration_ns: 10,
        ..entry(7, End::Return)
    };
    let send = Send {
        kind: Kind::Send as u8,
        via: Via::Reschedule as u8,
        target: 1,
        at_ns: 140,
        pid: 70,
        tid: 70,
        ..Send::default()
    };
    let mut all = Assembler::new(Pid(1));
    all.begin(MonoNanos(100));
    all.record(Cpu(1), words(&called).as_bytes()).unwrap();
    all.drain_ready(|event| panic!("too early: {event:?}"));
    all.begin(MonoNanos(200));
    all.record(Cpu(0), words(&send).as_bytes()).unwrap();
    let mut origins = Vec::new();
    all.drain_ready(|event| {
        if let RawEvent::Breach(breach) = event {
            assert_eq!(breach.seq, Seq(1));
            origins.extend(breach.origins);
        }
    });
    let sender = origins.first().and_then(Origin::sender);
    assert_eq!(sender.and_then(|sender| sender.cpu), Some(Cpu(0)));
}

#[test]
fn breaches_are_numbered_in_the_order_in_which_they_ended() {
    let mut all = Assembler::new(Pid(1));
    all.begin(MonoNanos(u64::MAX));
    for (cpu, opened_ns) in [(1, 500), (2, 300)] {
        let entry = Entry {
            opened_ns,
            ..entry(7, End::Return)
        };
        all.record(Cpu(cpu), words(&entry).as_bytes()).unwrap();
    }
    let mut seen = Vec::new();
    all.drain_ready(|event| {
        if let RawEvent::Breach(breach) = event {
            seen.push((breach.seq, breach.entry.cpu));
        }
    });
    assert_eq!(seen, [(Seq(1), Cpu(2)), (Seq(2), Cpu(1))]);
}
