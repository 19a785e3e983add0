//! What is matched by order, and who asked for what ran besides.

use super::*;

/// Who asked for the activities of an entry: thread and kind.
fn askers(join: &mut Join, entry: &KernelEntry) -> Vec<Option<(u32, &'static str)>> {
    let entry = join.join(Seq(1), entry.clone());
    let asker = |asked: &ActivityOrigin| {
        let origin = asked.origin.as_ref()?;
        Some((origin.sender()?.task.as_ref()?.tid.0, origin.word()))
    };
    entry.asked.iter().map(asker).collect()
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
    let next = KernelEntry {
        at: MonoNanos(1600),
        cause_began: Some(MonoNanos(1610)),
        user_since: Some(MonoNanos(1400)),
        ..call(Vec::new())
    };
    assert_eq!(who(&provokers(&mut join, &next)), [Some((9, true))]);
}

#[test]
fn every_reschedule_until_the_interrupt_is_its_origin() {
    let mut join = join(&[
        (Via::Reschedule, send(100, 0, 6)),
        (Via::Reschedule, send(900, 0, 7)),
        (Via::Reschedule, send(950, 0, 8)),
        (Via::Reschedule, send(1500, 0, 9)),
    ]);
    let first = entered(Cause::Reschedule, Vec::new());
    assert_eq!(
        who(&provokers(&mut join, &first)),
        [Some((7, true)), Some((8, true))]
    );
    let second = KernelEntry {
        at: MonoNanos(2100),
        cause_began: Some(MonoNanos(2110)),
        user_since: Some(MonoNanos(2000)),
        ..first
    };
    // Sent in the kernel, delivered as soon as interrupts were on again.
    assert_eq!(who(&provokers(&mut join, &second)), [Some((9, true))]);
}

/// What is sent after an entry began is not its cause, and each interrupt has a sender.
#[test]
fn the_last_of_several_reschedules_may_be_the_next_ones() {
    let later = |at: u64, since: u64| KernelEntry {
        at: MonoNanos(at),
        cause_began: Some(MonoNanos(at + 10)),
        user_since: Some(MonoNanos(since)),
        ..entered(Cause::Reschedule, Vec::new())
    };
    let mut join = join(&[
        (Via::Reschedule, send(900, 0, 7)),
        (Via::Reschedule, send(1005, 0, 8)),
        (Via::Reschedule, send(2950, 0, 9)),
        (Via::Reschedule, send(2980, 0, 10)),
    ]);
    let mut caused = |entry: &KernelEntry| who(&provokers(&mut join, entry));
    assert_eq!(caused(&later(1000, 500)), [Some((7, true))]);
    assert_eq!(caused(&later(2100, 2000)), [Some((8, true))]);
    let both = [Some((9, true)), Some((10, true))];
    assert_eq!(caused(&later(3000, 2500)), both, "one or two interrupts");
    assert_eq!(caused(&later(4100, 4000)), [Some((10, true))]);
    assert_eq!(caused(&later(5100, 5000)), [None], "it was the last");
}

fn switch(thread: u32) -> KernelActivity {
    KernelActivity {
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
    let entry = entered(
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
    let entry = entered(Cause::LocalTimer, vec![ran(Activity::Hrtimer, TIMER)]);
    assert_eq!(askers(&mut join, &entry), [None]);
}

/// At its end an interrupt wakes who runs softirqs, and seems to be the task that it interrupted.
#[test]
fn the_interrupted_task_wakes_nobody() {
    let thread = |name: &str| KernelActivity {
        comm: Some(name.into()),
        ..switch(42)
    };
    let wakers = |cause, name: &str, waker: u32, cpu: u32| {
        let mut join = Join::new(Pid(1));
        let woken = Send {
            cpu,
            ..send(1100, 42, waker)
        };
        join.sent(Via::Wake, &woken);
        let entry = KernelEntry {
            cause,
            ..entered(Cause::LocalTimer, vec![thread(name)])
        };
        let entry = join.join(Seq(1), entry);
        let origin = entry.asked[0].origin.clone().expect("it was woken");
        let sender = origin.sender().expect("by somebody").clone();
        (origin.word(), sender.task.map(|task| task.tid.0))
    };
    let own = entered(Cause::LocalTimer, Vec::new()).task.tid.0;
    for (cause, name, waker, cpu, expected) in [
        (Cause::LocalTimer, "ktimers/1", own, 1, ("kernel", None)),
        (Cause::DeviceIrq, "ksoftirqd/1", own, 1, ("kernel", None)),
        // Its own system call; another thread; another task; another CPU.
        (Cause::Syscall, "ktimers/1", own, 1, ("kernel", Some(own))),
        (Cause::LocalTimer, "worker", own, 1, ("kernel", Some(own))),
        (Cause::LocalTimer, "ktimers/1", 6, 1, ("kernel", Some(6))),
        (
            Cause::LocalTimer,
            "ktimers/1",
            own,
            0,
            ("remote", Some(own)),
        ),
    ] {
        let cause = match cause {
            Cause::DeviceIrq => CauseDetail::DeviceIrq {
                irq: 1,
                handler: None,
            },
            cause => CauseDetail::Plain(cause),
        };
        assert_eq!(
            wakers(cause, name, waker, cpu),
            expected,
            "{name} by {waker}"
        );
    }
}

#[test]
fn a_task_that_ran_was_woken_by_whoever_did_it_last() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Wake, &send(300, 42, 7));
    join.sent(Via::Wake, &send(800, 42, 8));
    join.sent(Via::Wake, &send(5000, 42, 9));
    let entry = entered(Cause::Reschedule, vec![switch(42), switch(43)]);
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
        askers(&mut join, &entered(Cause::LocalTimer, vec![switch(42)])),
        [Some((6, "kernel"))]
    );
    // Twice in this entry, by two: either may be meant.
    join.sent(Via::Wake, &send(1200, 42, 5));
    assert_eq!(
        askers(&mut join, &entered(Cause::LocalTimer, vec![switch(42)])),
        [None]
    );
}

#[test]
fn who_sent_the_interrupt_is_not_told_again_as_the_waker() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Wake, &send(790, 42, 8));
    join.sent(Via::Reschedule, &send(800, 0, 8));
    let entry = entered(Cause::Reschedule, vec![switch(42)]);
    assert_eq!(askers(&mut join, &entry), [None]);
}

#[test]
fn wake_ups_cost_other_senders_no_room() {
    let mut join = Join::new(Pid(1));
    join.sent(Via::Timer, &send(100, TIMER, 7));
    for n in 0..40_000 {
        join.sent(Via::Wake, &send(200 + n, n, 8));
    }
    assert_eq!(join.waiting.evicted(), 0);
    assert_eq!(join.wakes.len(), wakes::MAX_WOKEN);
    let entry = entered(Cause::LocalTimer, vec![ran(Activity::Timer, TIMER)]);
    assert_eq!(who(&provokers(&mut join, &entry)), [Some((7, false))]);
}

#[test]
fn the_thread_that_was_woken_longest_ago_is_forgotten_and_counted() {
    let mut join = Join::new(Pid(1));
    let most = u32::try_from(wakes::MAX_WOKEN).unwrap();
    for thread in 0..most {
        join.sent(Via::Wake, &send(600, thread.into(), 7));
    }
    // One is woken once more, and one has run: the oldest now, and no loss.
    join.sent(Via::Wake, &send(610, 0, 8));
    let entry = |thread| entered(Cause::Reschedule, vec![switch(thread)]);
    assert_eq!(askers(&mut join, &entry(1)), [Some((7, "remote"))]);
    join.sent(Via::Wake, &send(620, most.into(), 9));
    assert_eq!(askers(&mut join, &entry(1)), [None], "it made room");
    assert_eq!(join.evicted(), 0);
    join.sent(Via::Wake, &send(630, (most + 1).into(), 9));
    assert_eq!(askers(&mut join, &entry(2)), [None], "it made room");
    assert_eq!(join.evicted(), 1);
    for (thread, by) in [(0, 8), (3, 7), (most, 9), (most + 1, 9)] {
        assert_eq!(askers(&mut join, &entry(thread)), [Some((by, "remote"))]);
    }
    assert_eq!(join.wakes.len(), wakes::MAX_WOKEN);
}

#[test]
fn what_the_tracer_queued_is_the_tracers() {
    let mut join = Join::new(Pid(7));
    join.sent(Via::Work, &send(900, 0x10, 7));
    let entry = entered(Cause::Syscall, vec![ran(Activity::Work, 0x10)]);
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
    let later = |at: u64, csd| KernelEntry {
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
    let entry = |at: u64| KernelEntry {
        at: MonoNanos(at),
        duration: Some(Nanos(100)),
        cause_began: Some(MonoNanos(at + 10)),
        user_since: Some(MonoNanos(at - 500)),
        ..call(Vec::new())
    };
    let mut join = Join::new(Pid(1));
    let _first = provokers(&mut join, &entry(1000));
    join.sent(Via::CrossCall, &send(1050, CSD, 7));
    let next = KernelEntry {
        user_since: Some(MonoNanos(1100)),
        ..entry(2000)
    };
    assert_eq!(who(&provokers(&mut join, &next)), [Some((7, true))]);
    // An entry is missing between.
    join.sent(Via::CrossCall, &send(2050, CSD, 8));
    assert_eq!(provokers(&mut join, &entry(9000)), [Origin::Unknown]);
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
    let entry = |at: u64, dropped_activities| KernelEntry {
        at: MonoNanos(at),
        duration: Some(Nanos(100)),
        cause_began: Some(MonoNanos(at + 10)),
        user_since: Some(MonoNanos(at - 900)),
        dropped_activities,
        ..call(Vec::new())
    };
    let _first = provokers(&mut join, &entry(1000, 0));
    let timer = KernelEntry {
        cause: CauseDetail::Plain(Cause::LocalTimer),
        ..entry(2000, 3)
    };
    join.sent(Via::CrossCall, &send(1050, CSD, 7));
    let _second = provokers(&mut join, &timer);
    assert_eq!(provokers(&mut join, &entry(3000, 0)), [Origin::Unknown]);
}
