use super::{waiting::MAX_WAITING, *};
use crate::event::{cause::CauseDetail, ids::Nanos};

mod arrivals;
mod cancelled;
mod later;
mod order;
mod raised;

const CPU: Cpu = Cpu(1);
const CSD: u64 = 0xff11_0000;
const TIMER: u64 = 0xff22_0000;
const FLUSH: u64 = 0xffff_ffff_8100_0000;

/// A sender on CPU 0: thread `tid` of its own process.
fn send(at_ns: u64, key: u64, tid: u32) -> Send {
    Send {
        target: CPU.0,
        at_ns,
        key,
        function: FLUSH,
        cpu: 0,
        tid,
        pid: tid,
        comm: *b"sender\0\0\0\0\0\0\0\0\0\0",
        ..Send::default()
    }
}

/// An entry from 1000 to 2000, in user mode since 500.
fn entered(cause: Cause, activities: Vec<KernelActivity>) -> KernelEntry {
    KernelEntry {
        at: MonoNanos(1000),
        cpu: CPU,
        duration: Some(Nanos(1000)),
        cause: CauseDetail::Plain(cause),
        cause_began: Some(MonoNanos(1010)),
        user_since: Some(MonoNanos(500)),
        activities,
        ..crate::event::entry::tests::entry()
    }
}

fn ran(kind: Activity, key: u64) -> KernelActivity {
    KernelActivity {
        kind,
        number: 0,
        address: Some(Address(FLUSH)),
        key: Some(Address(key)),
        began: None,
        comm: None,
        net: None,
        perf_event: None,
    }
}

fn vector(cause: Cause, began: u64) -> KernelActivity {
    KernelActivity {
        number: cause as u32,
        address: None,
        key: None,
        began: Some(MonoNanos(began)),
        ..ran(Activity::Vector, 0)
    }
}

fn join(sent: &[(Via, Send)]) -> Join {
    let mut join = Join::new(Pid(4242));
    for (via, send) in sent {
        join.sent(*via, send);
    }
    join
}

/// Senders by thread, `None` for an origin without one, and whether they are inferred.
fn who(origins: &[RawOrigin]) -> Vec<Option<(u32, bool)>> {
    origins
        .iter()
        .map(|origin| {
            let sender = origin.sender()?;
            Some((sender.task.as_ref()?.tid.0, sender.inferred))
        })
        .collect()
}

fn call(activities: Vec<KernelActivity>) -> KernelEntry {
    entered(Cause::CallFunctionSingle, activities)
}

/// Who provoked an entry.
fn provokers(join: &mut Join, entry: &KernelEntry) -> Vec<RawOrigin> {
    let entry = join.join(Seq(1), entry.clone());
    entry.origins
}

/// Keys that somebody waits under.
fn waiting(join: &Join) -> usize {
    join.waiting.len().0
}

#[test]
fn a_call_is_known_by_its_csd() {
    let mut join = join(&[
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(901, CSD + 64, 8)),
    ]);
    let entry = call(vec![ran(Activity::Csd, CSD + 64), ran(Activity::Csd, CSD)]);
    let origins = provokers(&mut join, &entry);
    assert_eq!(
        who(&origins),
        [Some((7, false)), Some((8, false))],
        "in the order of asking"
    );
    let Origin::Remote(sender) = &origins[0] else {
        panic!("{origins:?}")
    };
    assert_eq!(sender.cpu, Some(Cpu(0)));
    assert_eq!(sender.callback, Some(Address(FLUSH)));
    assert_eq!(
        provokers(&mut join, &entry),
        [Origin::Unknown],
        "each is answered once, and what is not known said once"
    );
}

#[test]
fn a_call_to_another_cpu_is_not_this_ones() {
    let elsewhere = Send {
        target: 2,
        ..send(900, CSD, 7)
    };
    let mut join = join(&[(Via::CrossCall, elsewhere)]);
    let here = call(vec![ran(Activity::Csd, CSD)]);
    assert_eq!(provokers(&mut join, &here), [Origin::Unknown]);
    let there = KernelEntry {
        cpu: Cpu(2),
        ..here
    };
    assert_eq!(who(&provokers(&mut join, &there)), [Some((7, false))]);
}

#[test]
fn a_csd_that_is_queued_again_at_once_keeps_its_order() {
    let mut join = join(&[
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(1005, CSD, 8)),
    ]);
    let entry = call(vec![ran(Activity::Csd, CSD)]);
    // Two that both spoke before the interrupt arrived, and one run: neither is named.
    assert_eq!(who(&provokers(&mut join, &entry)), [None]);
    let mut one = self::join(&[
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(2500, CSD, 8)),
    ]);
    assert_eq!(who(&provokers(&mut one, &entry)), [Some((7, false))]);
    let later = KernelEntry {
        at: MonoNanos(2600),
        cause_began: Some(MonoNanos(2610)),
        user_since: Some(MonoNanos(2000)),
        ..entry
    };
    assert_eq!(who(&provokers(&mut one, &later)), [Some((8, false))]);
}

#[test]
fn what_ran_unseen_is_not_taken_for_what_runs_now() {
    // The first was answered while no entry was under way; the second is what came.
    let mut join = join(&[
        (Via::CrossCall, send(100, CSD, 7)),
        (Via::CrossCall, send(900, CSD, 8)),
    ]);
    let entry = call(vec![ran(Activity::Csd, CSD)]);
    assert_eq!(who(&provokers(&mut join, &entry)), [Some((8, false))]);
    assert_eq!(provokers(&mut join, &entry), [Origin::Unknown]);
}

#[test]
fn an_interrupt_inside_another_entry_answers_its_calls() {
    let mut join = join(&[
        (Via::CrossCall, send(1100, CSD, 7)),
        (Via::Reschedule, send(1100, 0, 7)),
    ]);
    let syscall = entered(
        Cause::Syscall,
        vec![
            vector(Cause::CallFunctionSingle, 1200),
            vector(Cause::Reschedule, 1200),
        ],
    );
    assert_eq!(provokers(&mut join, &syscall), [Origin::Task]);
    assert_eq!(provokers(&mut join, &call(Vec::new())), [Origin::Unknown]);
    assert_eq!(
        provokers(&mut join, &entered(Cause::Reschedule, Vec::new())),
        [Origin::Unknown]
    );
}

#[test]
fn a_timer_keeps_who_armed_it() {
    let mut join = join(&[
        (Via::Timer, send(100, TIMER, 7)),
        (Via::Timer, send(1500, TIMER, 8)),
    ]);
    let fired = entered(Cause::LocalTimer, vec![ran(Activity::Timer, TIMER)]);
    let origins = provokers(&mut join, &fired);
    assert!(matches!(origins.as_slice(), [Origin::Kernel(Some(_))]));
    assert_eq!(
        who(&origins),
        [Some((7, false))],
        "not who armed it in its own function"
    );
    let again = KernelEntry {
        at: MonoNanos(3000),
        cause_began: Some(MonoNanos(3010)),
        ..fired
    };
    assert_eq!(who(&provokers(&mut join, &again)), [Some((8, false))]);
    let stranger = entered(Cause::LocalTimer, vec![ran(Activity::Hrtimer, TIMER + 64)]);
    assert_eq!(
        provokers(&mut join, &stranger),
        [Origin::Kernel(None)],
        "armed before the account"
    );
    assert_eq!(
        provokers(&mut join, &entered(Cause::LocalTimer, Vec::new())),
        [Origin::Unknown]
    );
}

#[test]
fn an_interrupt_handler_is_no_task_and_our_own_calls_are_marked() {
    let by_interrupt = Send {
        flags: SENT_BY_INTERRUPT,
        ..send(900, CSD, 4242)
    };
    let mut join = join(&[
        (Via::CrossCall, by_interrupt),
        (Via::CrossCall, send(901, CSD + 64, 4242)),
    ]);
    let origins = provokers(
        &mut join,
        &call(vec![ran(Activity::Csd, CSD), ran(Activity::Csd, CSD + 64)]),
    );
    let [Origin::Remote(handler), Origin::Tracer(own)] = origins.as_slice() else {
        panic!("{origins:?}")
    };
    assert_eq!(handler.task, None);
    assert_eq!(own.task.as_ref().and_then(|task| task.pid), Some(Pid(4242)));
}

#[test]
fn what_has_no_room_is_forgotten_and_counted() {
    let mut join = Join::new(Pid(1));
    let many = MAX_WAITING as u64 + 10;
    for n in 0..many {
        join.sent(Via::CrossCall, &send(n, CSD + 64 * n, 7));
    }
    assert_eq!(join.evicted(), 10);
    let (keys, live, order) = join.waiting.len();
    assert_eq!((keys, live), (MAX_WAITING, MAX_WAITING));
    assert!(order <= 2 * MAX_WAITING);
    assert_eq!(
        who(&provokers(
            &mut join,
            &call(vec![ran(Activity::Csd, CSD + 64 * 10)])
        )),
        [Some((7, false))],
        "the eleventh is the oldest now"
    );
}

#[test]
fn what_was_answered_takes_no_room_from_what_waits() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Timer, &send(100, TIMER, 8));
    join.sent(Via::Work, &send(100, TIMER + 64, 9));
    for n in 0..3 * MAX_WAITING as u64 {
        join.sent(Via::CrossCall, &send(n + 900, CSD, 7));
        let _origins = provokers(
            &mut join,
            &KernelEntry {
                at: MonoNanos(n + 1000),
                cause_began: Some(MonoNanos(n + 1010)),
                user_since: Some(MonoNanos(n + 500)),
                ..call(vec![ran(Activity::Csd, CSD)])
            },
        );
        assert_eq!(waiting(&join), 2, "{n}");
    }
    assert_eq!(join.evicted(), 0);
    let (_, live, order) = join.waiting.len();
    assert_eq!(live, 2);
    assert!(order <= 2 * MAX_WAITING, "{order}");
    let fired = entered(Cause::LocalTimer, vec![ran(Activity::Timer, TIMER)]);
    assert_eq!(who(&provokers(&mut join, &fired)), [Some((8, false))]);
    let queued = entered(Cause::Syscall, vec![ran(Activity::Work, TIMER + 64)]);
    let queued = join.join(Seq(1), queued);
    let asked = queued.asked[0].origin.as_slice();
    assert_eq!(who(asked), [Some((9, false))]);
    assert_eq!(waiting(&join), 1, "the timer");
}

#[test]
fn frames_and_places_come_along() {
    let mut sent = send(900, CSD, 7);
    sent.callsite = 0xffff_ffff_8100_1234;
    sent.frames = 2;
    sent.stack[..3].copy_from_slice(&[1, 2, 3]);
    let mut join = join(&[(Via::CrossCall, sent)]);
    let origins = provokers(&mut join, &call(vec![ran(Activity::Csd, CSD)]));
    let sender = origins[0].sender().unwrap();
    assert_eq!(sender.callsite, Some(Address(0xffff_ffff_8100_1234)));
    assert_eq!(sender.stack, [Address(1), Address(2)]);
}

/// A csd is free as soon as its function is about to run: the next call is sent while it runs,
/// and the one before was sent while the CPU was about to return.
#[test]
fn a_csd_that_is_sent_again_while_it_runs_keeps_its_order() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::CrossCall, &send(480, CSD, 7));
    join.sent(Via::CrossCall, &send(1500, CSD, 8));
    let first = call(vec![ran(Activity::Csd, CSD)]);
    assert_eq!(who(&provokers(&mut join, &first)), [Some((7, false))]);
    let second = KernelEntry {
        at: MonoNanos(2050),
        user_since: Some(MonoNanos(2000)),
        cause_began: Some(MonoNanos(2060)),
        ..call(vec![ran(Activity::Csd, CSD)])
    };
    assert_eq!(who(&provokers(&mut join, &second)), [Some((8, false))]);
}

/// Two interrupts in one entry, one call each.
#[test]
fn a_csd_that_ran_twice_was_sent_twice() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::CrossCall, &send(480, CSD, 7));
    join.sent(Via::CrossCall, &send(1500, CSD, 8));
    let again = vector(Cause::CallFunctionSingle, 1600);
    let entry = call(vec![
        ran(Activity::Csd, CSD),
        again,
        ran(Activity::Csd, CSD),
    ]);
    let entry = join.join(Seq(1), entry);
    assert_eq!(who(&entry.origins), [Some((7, false))]);
    let second = entry.asked[2].origin.clone();
    assert_eq!(
        who(second.as_slice()),
        [Some((8, false))],
        "it came after the interrupt that began the entry"
    );
}
