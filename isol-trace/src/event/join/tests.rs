use super::{waiting::MAX_WAITING, *};
use crate::event::model::{ActivityItem, CauseDetail};

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
fn breach(cause: Cause, activities: Vec<ActivityItem>) -> Breach {
    Breach {
        at: MonoNanos(1000),
        cpu: CPU,
        duration: Some(Nanos(1000)),
        cause: CauseDetail::Plain(cause),
        cause_began: Some(MonoNanos(1010)),
        user_since: Some(MonoNanos(500)),
        activities,
        ..crate::event::model::tests::breach()
    }
}

fn ran(kind: Activity, key: u64) -> ActivityItem {
    ActivityItem {
        kind,
        number: 0,
        address: Some(Address(FLUSH)),
        key: Some(Address(key)),
        began: None,
        comm: None,
        net: None,
        name: None,
        origin: None,
    }
}

fn vector(cause: Cause, began: u64) -> ActivityItem {
    ActivityItem {
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
fn who(origins: &[Origin]) -> Vec<Option<(u32, bool)>> {
    origins
        .iter()
        .map(|origin| {
            let sender = origin.sender()?;
            Some((sender.task.as_ref()?.tid.0, sender.inferred))
        })
        .collect()
}

fn call(activities: Vec<ActivityItem>) -> Breach {
    breach(Cause::CallFunctionSingle, activities)
}

/// Who provoked an entry.
fn provokers(join: &mut Join, entry: &Breach) -> Vec<Origin> {
    let mut entry = entry.clone();
    join.join(&mut entry);
    entry.origins
}

/// Who asked for the activities of an entry: thread and kind.
fn askers(join: &mut Join, entry: &Breach) -> Vec<Option<(u32, &'static str)>> {
    let mut entry = entry.clone();
    join.join(&mut entry);
    let asker = |item: &ActivityItem| {
        let origin = item.origin.as_ref()?;
        Some((origin.sender()?.task.as_ref()?.tid.0, origin.word()))
    };
    entry.activities.iter().map(asker).collect()
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
    assert_eq!(sender.cpu, Cpu(0));
    assert_eq!(
        sender.callback.as_ref().and_then(|it| it.address),
        Some(Address(FLUSH))
    );
    assert_eq!(
        provokers(&mut join, &entry),
        [const { Origin::Unknown }; 2],
        "each is answered once"
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
    let there = Breach {
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
    let later = Breach {
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
fn calls_whose_functions_do_not_show_are_inferred() {
    let mut join = join(&[
        (Via::CrossCall, send(100, CSD + 64, 6)),
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(1500, CSD + 128, 9)),
    ]);
    // Nothing shows: irq_work. What is older than user mode may have run unseen, and what
    // came after the interrupt is the next one's.
    assert_eq!(
        who(&provokers(&mut join, &call(Vec::new()))),
        [Some((7, true))]
    );
    let next = Breach {
        at: MonoNanos(1600),
        cause_began: Some(MonoNanos(1610)),
        user_since: Some(MonoNanos(1400)),
        ..call(Vec::new())
    };
    assert_eq!(who(&provokers(&mut join, &next)), [Some((9, true))]);
}

#[test]
fn an_interrupt_inside_another_entry_answers_its_calls() {
    let mut join = join(&[
        (Via::CrossCall, send(1100, CSD, 7)),
        (Via::Reschedule, send(1100, 0, 7)),
    ]);
    let syscall = breach(
        Cause::Syscall,
        vec![
            vector(Cause::CallFunctionSingle, 1200),
            vector(Cause::Reschedule, 1200),
        ],
    );
    assert_eq!(provokers(&mut join, &syscall), [Origin::Task]);
    assert_eq!(provokers(&mut join, &call(Vec::new())), [Origin::Unknown]);
    assert_eq!(
        provokers(&mut join, &breach(Cause::Reschedule, Vec::new())),
        [Origin::Unknown]
    );
}

#[test]
fn every_reschedule_until_the_interrupt_is_its_origin() {
    let mut join = join(&[
        (Via::Reschedule, send(100, 0, 6)),
        (Via::Reschedule, send(900, 0, 7)),
        (Via::Reschedule, send(950, 0, 8)),
        (Via::Reschedule, send(1500, 0, 9)),
    ]);
    let first = breach(Cause::Reschedule, Vec::new());
    assert_eq!(
        who(&provokers(&mut join, &first)),
        [Some((7, true)), Some((8, true))]
    );
    let second = Breach {
        at: MonoNanos(2100),
        cause_began: Some(MonoNanos(2110)),
        user_since: Some(MonoNanos(2000)),
        ..first
    };
    // Sent in the kernel, delivered as soon as interrupts were on again.
    assert_eq!(who(&provokers(&mut join, &second)), [Some((9, true))]);
}

#[test]
fn a_timer_keeps_who_armed_it() {
    let mut join = join(&[
        (Via::Timer, send(100, TIMER, 7)),
        (Via::Timer, send(1500, TIMER, 8)),
    ]);
    let fired = breach(Cause::LocalTimer, vec![ran(Activity::Timer, TIMER)]);
    let origins = provokers(&mut join, &fired);
    assert!(matches!(origins.as_slice(), [Origin::Kernel(Some(_))]));
    assert_eq!(
        who(&origins),
        [Some((7, false))],
        "not who armed it in its own function"
    );
    let again = Breach {
        at: MonoNanos(3000),
        ..fired
    };
    assert_eq!(who(&provokers(&mut join, &again)), [Some((8, false))]);
    let stranger = breach(Cause::LocalTimer, vec![ran(Activity::Hrtimer, TIMER + 64)]);
    assert_eq!(
        provokers(&mut join, &stranger),
        [Origin::Kernel(None)],
        "armed before the account"
    );
    assert_eq!(
        provokers(&mut join, &breach(Cause::LocalTimer, Vec::new())),
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
    let (keys, order) = join.waiting.len();
    assert!(order <= MAX_WAITING && keys <= MAX_WAITING);
    // What was answered costs no room that counts.
    let mut join = Join::new(Pid(1));
    for n in 0..many {
        join.sent(Via::CrossCall, &send(n + 900, CSD, 7));
        let _origins = provokers(
            &mut join,
            &Breach {
                at: MonoNanos(n + 1000),
                cause_began: Some(MonoNanos(n + 1010)),
                user_since: Some(MonoNanos(n + 500)),
                ..call(vec![ran(Activity::Csd, CSD)])
            },
        );
        assert_eq!(waiting(&join), 0, "{n}");
    }
    assert_eq!(join.evicted(), 0);
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
    assert_eq!(
        sender.callsite.as_ref().and_then(|it| it.address),
        Some(Address(0xffff_ffff_8100_1234))
    );
    let stack: Vec<_> = sender.stack.iter().map(|it| it.address).collect();
    assert_eq!(stack, [Some(Address(1)), Some(Address(2))]);
}

fn switch(thread: u32) -> ActivityItem {
    ActivityItem {
        number: thread,
        address: None,
        key: None,
        ..ran(Activity::Switch, 0)
    }
}

#[test]
fn what_ran_besides_the_cause_has_its_own_origin() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Work, &send(900, 0x10, 7));
    join.sent(Via::Timer, &send(910, 0x20, 8));
    join.sent(Via::CrossCall, &send(920, CSD, 9));
    let entry = breach(
        Cause::Syscall,
        vec![
            ran(Activity::Work, 0x10),
            ran(Activity::Timer, 0x20),
            ran(Activity::Csd, CSD),
            ran(Activity::Softirq, 0),
        ],
    );
    let expected = [
        Some((7, "kernel")),
        Some((8, "kernel")),
        Some((9, "remote")),
        None,
    ];
    assert_eq!(askers(&mut join, &entry), expected);
}

#[test]
fn what_is_an_origin_of_the_breach_is_not_told_twice() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::CrossCall, &send(600, CSD, 9));
    let entry = call(vec![ran(Activity::Csd, CSD)]);
    assert_eq!(askers(&mut join, &entry), [None]);
    join.sent(Via::Timer, &send(700, TIMER, 8));
    let entry = breach(Cause::LocalTimer, vec![ran(Activity::Hrtimer, TIMER)]);
    assert_eq!(askers(&mut join, &entry), [None]);
}

#[test]
fn a_task_that_ran_was_woken_by_whoever_did_it_last() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Wake, &send(300, 42, 7));
    join.sent(Via::Wake, &send(800, 42, 8));
    join.sent(Via::Wake, &send(5000, 42, 9));
    let entry = breach(Cause::Reschedule, vec![switch(42), switch(43)]);
    assert_eq!(askers(&mut join, &entry), [Some((8, "remote")), None]);
    // It goes on in a later entry without another wake-up.
    assert_eq!(askers(&mut join, &entry), [Some((8, "remote")), None]);
    // Woken here, by an interrupt or a task of this CPU.
    let here = Send {
        cpu: CPU.0,
        ..send(1100, 42, 6)
    };
    join.sent(Via::Wake, &here);
    assert_eq!(
        askers(&mut join, &breach(Cause::LocalTimer, vec![switch(42)])),
        [Some((6, "kernel"))]
    );
    // Twice in this entry, by two: either may be meant.
    join.sent(Via::Wake, &send(1200, 42, 5));
    assert_eq!(
        askers(&mut join, &breach(Cause::LocalTimer, vec![switch(42)])),
        [None]
    );
}

#[test]
fn who_sent_the_interrupt_is_not_told_again_as_the_waker() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Wake, &send(790, 42, 8));
    join.sent(Via::Reschedule, &send(800, 0, 8));
    let entry = breach(Cause::Reschedule, vec![switch(42)]);
    assert_eq!(askers(&mut join, &entry), [None]);
}

#[test]
fn wake_ups_cost_other_senders_no_room() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Timer, &send(100, TIMER, 7));
    for n in 0..40_000 {
        join.sent(Via::Wake, &send(200 + n, n, 8));
    }
    assert_eq!(join.evicted(), 0);
    assert!(join.wakes.len() <= wakes::MAX_WOKEN);
    let entry = breach(Cause::LocalTimer, vec![ran(Activity::Timer, TIMER)]);
    assert_eq!(who(&provokers(&mut join, &entry)), [Some((7, false))]);
}

#[test]
fn what_the_tracer_queued_is_the_tracers() {
    let mut join = Join::new(Pid(7));
    join.sent(Via::Work, &send(900, 0x10, 7));
    let entry = breach(Cause::Syscall, vec![ran(Activity::Work, 0x10)]);
    assert_eq!(askers(&mut join, &entry), [Some((7, "tracer"))]);
}

/// The sender speaks, and before it queues, an interrupt for somebody else comes and goes.
#[test]
fn a_sender_that_is_overtaken_keeps_its_breach() {
    let mut join = Join::new(Pid(1));
    // That this function shows is learnt from its first run.
    join.sent(Via::CrossCall, &send(600, CSD, 5));
    let first = call(vec![ran(Activity::Csd, CSD)]);
    assert_eq!(who(&provokers(&mut join, &first)), [Some((5, false))]);
    join.sent(Via::CrossCall, &send(2900, CSD, 7));
    join.sent(Via::CrossCall, &send(2950, CSD + 64, 8));
    let later = |at: u64, csd| Breach {
        at: MonoNanos(at),
        cause_began: Some(MonoNanos(at + 10)),
        user_since: Some(MonoNanos(at - 500)),
        ..call(vec![ran(Activity::Csd, csd)])
    };
    let other = provokers(&mut join, &later(3000, CSD + 64));
    assert_eq!(who(&other), [Some((8, false))], "and not 7 as well");
    let own = provokers(&mut join, &later(5000, CSD));
    assert_eq!(who(&own), [Some((7, false))]);
    // One that never shows is forgotten at the second time.
    join.sent(Via::CrossCall, &send(6000, CSD, 9));
    for at in [7000, 9000] {
        assert_eq!(waiting(&join), 1);
        let _other = provokers(&mut join, &later(at, CSD + 64));
    }
    assert_eq!(waiting(&join), 0);
}

/// A wake-up is sent while the CPU is about to return, and arrives after.
#[test]
fn what_is_older_than_user_mode_counts_where_nothing_was_missed() {
    let entry = |at: u64| Breach {
        at: MonoNanos(at),
        duration: Some(Nanos(100)),
        cause_began: Some(MonoNanos(at + 10)),
        user_since: Some(MonoNanos(at - 500)),
        ..call(Vec::new())
    };
    let mut join = Join::new(Pid(1));
    let _first = provokers(&mut join, &entry(1000));
    join.sent(Via::CrossCall, &send(1050, CSD, 7));
    let next = Breach {
        user_since: Some(MonoNanos(1100)),
        ..entry(2000)
    };
    assert_eq!(who(&provokers(&mut join, &next)), [Some((7, true))]);
    // An entry is missing between.
    join.sent(Via::CrossCall, &send(2050, CSD, 8));
    assert_eq!(provokers(&mut join, &entry(9000)), [Origin::Unknown]);
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
    let second = Breach {
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
    assert_eq!(
        who(&provokers(&mut join, &entry)),
        [Some((7, false)), Some((8, false))]
    );
}

/// Kernels without the tracepoint: functions tell, with or without the csd, and nothing shows here.
#[test]
fn calls_that_functions_told_of_are_matched_by_order() {
    let mut join = join(&[
        (Via::CrossCall, send(900, 0, 7)),
        (Via::CrossCall, send(905, CSD, 7)),
    ]);
    let origins = provokers(&mut join, &call(Vec::new()));
    assert_eq!(who(&origins), [Some((7, true))], "one call, told twice");
    let conditional = |at, tid| Send {
        flags: SENT_CONDITIONALLY,
        ..send(at, 0, tid)
    };
    join.sent(Via::CrossCall, &conditional(900, 8));
    let origins = provokers(&mut join, &call(Vec::new()));
    assert_eq!(who(&origins), [Some((8, true))], "nobody else was there");
    join.sent(Via::CrossCall, &conditional(900, 8));
    join.sent(Via::CrossCall, &send(901, 0, 9));
    let origins = provokers(&mut join, &call(Vec::new()));
    assert_eq!(who(&origins), [Some((9, true))], "who certainly called");
    join.sent(Via::CrossCall, &conditional(900, 8));
    join.sent(Via::CrossCall, &conditional(901, 9));
    let origins = provokers(&mut join, &call(Vec::new()));
    assert_eq!(origins, [Origin::Unknown], "either may have called nobody");
}

/// An interrupt that found no room in a list may have answered what is still waiting.
#[test]
fn what_is_older_than_a_gap_is_forgotten() {
    let mut join = Join::new(Pid(1));
    let entry = |at: u64, dropped_activities| Breach {
        at: MonoNanos(at),
        duration: Some(Nanos(100)),
        cause_began: Some(MonoNanos(at + 10)),
        user_since: Some(MonoNanos(at - 900)),
        dropped_activities,
        ..call(Vec::new())
    };
    let _first = provokers(&mut join, &entry(1000, 0));
    let timer = Breach {
        cause: CauseDetail::Plain(Cause::LocalTimer),
        ..entry(2000, 3)
    };
    join.sent(Via::CrossCall, &send(1050, CSD, 7));
    let _second = provokers(&mut join, &timer);
    assert_eq!(provokers(&mut join, &entry(3000, 0)), [Origin::Unknown]);
}
