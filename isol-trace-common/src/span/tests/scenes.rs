//! Single stories, with times that can be checked by hand: reading the clock takes nothing here.

use std::vec;

use super::{
    super::{MAX_DEPTH, Phase},
    driver::{FILTERED, IN_SECTION, OWN},
    sim::{Op, Record, Sim},
};
use crate::{
    activity::Activity,
    cause::Cause,
    ledger::Ledger,
    record::{
        ACTIVITY_IS_CAUSE, ACTIVITY_TIMED, Back, End, Entry, FLAG_SECTION, FullEntry, Kind,
        MAX_ACTIVITIES,
    },
};

pub(super) fn still() -> Sim {
    let sim = Sim::new();
    sim.tick.set(0);
    sim
}

impl Sim {
    pub(super) fn all(&self, ops: &[Op]) {
        for op in ops {
            self.run(op, false);
        }
    }

    /// The only record so far.
    pub(super) fn only(&self) -> FullEntry<MAX_ACTIVITIES> {
        match self.ring.borrow().as_slice() {
            [Record::Entry(record)] => **record,
            other => panic!("one record is expected, not {other:?}"),
        }
    }

    pub(super) fn entries(&self) -> vec::Vec<Entry> {
        let ring = self.ring.borrow();
        let entry = |record: &Record| match record {
            Record::Entry(record) => Some(record.entry),
            Record::Back(_) => None,
        };
        ring.iter().filter_map(entry).collect()
    }

    fn backs(&self) -> vec::Vec<Back> {
        let ring = self.ring.borrow();
        let back = |record: &Record| match record {
            Record::Entry(..) => None,
            Record::Back(back) => Some(*back),
        };
        ring.iter().filter_map(back).collect()
    }
}

fn nets(record: &FullEntry<MAX_ACTIVITIES>) -> vec::Vec<(u8, u64)> {
    record.activities[..usize::from(record.entry.activities)]
        .iter()
        .map(|of| (of.kind, of.net_ns))
        .collect()
}

#[test]
fn what_nests_inside_is_taken_off() {
    let sim = still();
    sim.enter_kernel(1, None);
    sim.pass(5);
    sim.interrupt_entry(Cause::LocalTimer, Activity::Vector, 0);
    sim.all(&[
        Op::Pass(10),
        Op::Run(Activity::Hrtimer, vec![Op::Pass(100)], true),
        Op::Run(Activity::Hrtimer, vec![Op::Pass(200)], true),
    ]);
    sim.activity_exit(Activity::Vector);
    let irq = Op::Run(Activity::Irq, vec![Op::Pass(40), Op::Nmi(7)], true);
    let timer = Op::Run(Activity::Timer, vec![Op::Pass(1_000), irq], true);
    sim.all(&[Op::Run(Activity::Softirq, vec![Op::Pass(3), timer], true)]);
    sim.exit_to_user(1, None);

    let record = sim.only();
    let expected = [
        (Activity::Vector as u8, 10),
        (Activity::Hrtimer as u8, 100),
        (Activity::Hrtimer as u8, 200),
        (Activity::Softirq as u8, 3),
        (Activity::Timer as u8, 1_000),
        (Activity::Irq as u8, 40),
        (Activity::Nmi as u8, 7),
    ];
    assert_eq!(nets(&record), expected);
    assert_eq!(record.entry.duration_ns, 5 + 10 + 300 + 3 + 1_000 + 40 + 7);
    assert_eq!(
        record.activities[0].flags,
        ACTIVITY_IS_CAUSE | ACTIVITY_TIMED
    );
    assert_eq!(record.entry.cause, Cause::LocalTimer as u8);
}

#[test]
fn before_the_first_departure_nothing_is_known() {
    let sim = still();
    let irq = Op::Run(Activity::Irq, vec![Op::Nmi(5)], true);
    sim.all(&[irq, Op::Other(2, true, vec![Op::Pass(9)])]);
    sim.exit_to_user(1, None);
    sim.exit();
    assert_eq!(sim.ledger().entries, 0);
    assert!(sim.ring.borrow().is_empty());
    assert_eq!(sim.state.depth.get(), 0);
    assert_eq!(sim.state.slots.get(), 0);
    assert!(!sim.state.attribute(Cause::LocalTimer, 0, 0));
    assert!(!sim.state.attribute_late(Cause::Exception, 6));

    sim.enter_kernel(2, Some(39));
    sim.exit_to_user(2, None);
    assert_eq!(sim.ledger().entries, 1);
}

#[test]
fn a_task_that_never_left_returns() {
    let sim = still();
    sim.enter_kernel(1, Some(56));
    sim.pass(50);
    sim.switch(2, false);
    sim.pass(10);
    // The child goes to user mode for the first time.
    sim.exit_to_user(2, None);
    sim.exit_to_user(3, None);
    assert_eq!(sim.entries().len(), 1);
    assert_eq!(sim.only().entry.end, End::Switched as u8);
    assert_eq!(sim.only().entry.duration_ns, 60);
    assert!(sim.backs().is_empty(), "neither had been away");
}

#[test]
fn a_victim_comes_back() {
    let sim = still();
    sim.enter_kernel(1, Some(24));
    sim.pass(5);
    sim.switch(2, false);
    sim.pass(20);
    sim.exit_to_user(2, None);
    sim.pass(1_000);
    sim.enter_kernel(2, Some(24));
    sim.pass(6);
    sim.switch(1, true);
    sim.exit_to_user(1, None);

    let back = sim.backs();
    assert_eq!(back.len(), 1);
    assert_eq!(back[0].tid, 1);
    assert_eq!(back[0].opened_ns, sim.entries()[0].opened_ns);
    assert_eq!(back[0].away_ns, 1_006);
    assert_eq!(sim.ledger().away_ns, 1_006);
    let ends: vec::Vec<u8> = sim.entries().iter().map(|entry| entry.end).collect();
    assert_eq!(ends, [End::Switched as u8; 2]);
    sim.exit_to_user(1, None);
    assert_eq!(sim.backs().len(), 1, "once is enough");
}

/// A task that sleeps wants no CPU: it is away from the moment that somebody wakes it.
#[test]
fn time_asleep_is_no_time_away() {
    let away = |happens: fn(&Sim)| {
        let sim = still();
        sim.enter_kernel(1, Some(35));
        happens(&sim);
        sim.pass(100);
        sim.exit_to_user(1, None);
        assert_eq!(sim.backs().len(), 1);
        assert_eq!(sim.ledger().away_ns, sim.backs()[0].away_ns);
        sim.backs()[0].away_ns
    };
    let sleeps_and_is_replaced: fn(&Sim) = |sim| {
        sim.switch(2, true);
        sim.exit_to_user(2, None);
        sim.pass(5_000);
        sim.wake(1);
    };
    assert_eq!(away(sleeps_and_is_replaced), 100, "woken long after");
    let is_woken_before_it_is_replaced: fn(&Sim) = |sim| {
        sim.switch(2, true);
        sim.wake(1);
        sim.pass(5_000);
        sim.exit_to_user(2, None);
    };
    assert_eq!(away(is_woken_before_it_is_replaced), 100, "woken before");
    let ran_again: fn(&Sim) = |sim| {
        sim.switch(3, true);
        sim.switch(1, true);
        sim.switch(2, false);
        sim.exit_to_user(2, None);
        sim.pass(5_000);
        sim.wake(1);
    };
    assert_eq!(
        away(ran_again),
        5_100,
        "preempted in the end: no wake-up was needed"
    );
    let nobody_saw_it: fn(&Sim) = |sim| {
        sim.switch(2, true);
        sim.exit_to_user(2, None);
        sim.wake(2);
    };
    assert_eq!(away(nobody_saw_it), 100, "another's wake-up means nothing");
    let another_is_woken_first: fn(&Sim) = |sim| {
        sim.switch(2, true);
        sim.wake(3);
        sim.exit_to_user(2, None);
        sim.pass(5_000);
        sim.wake(1);
    };
    assert_eq!(
        away(another_is_woken_first),
        100,
        "nor does it where the entry is still under way"
    );
    let twice: fn(&Sim) = |sim| {
        sim.switch(2, true);
        sim.exit_to_user(2, None);
        sim.wake(1);
        sim.pass(50);
        sim.wake(1);
    };
    assert_eq!(away(twice), 150, "the first wake-up counts");
}

#[test]
fn a_victim_that_moved_or_died_or_was_left_out_does_not_come_back() {
    for how in ["moved", "died", "filtered"] {
        let sim = still();
        let preempted = if how == "filtered" { FILTERED } else { 1 };
        sim.enter_kernel(preempted, Some(24));
        sim.switch(2, false);
        if how == "moved" {
            sim.migrate(preempted);
        }
        sim.exit_to_user(2, None);
        if how == "died" {
            sim.current.set(preempted);
            sim.exit();
            sim.switch(0, true);
            sim.is_born(preempted);
        }
        sim.pass(1_000);
        sim.exit_to_user(preempted, None);
        assert!(sim.backs().is_empty(), "{how}");
        assert_eq!(sim.ledger().away_ns, 0, "{how}");
    }
}

#[test]
fn a_move_of_another_task_or_in_an_earlier_entry_means_nothing() {
    let sim = still();
    sim.enter_kernel(1, Some(24));
    sim.migrate(1);
    sim.exit_to_user(1, None);
    sim.enter_kernel(1, Some(24));
    sim.migrate(2);
    sim.switch(2, false);
    sim.exit_to_user(2, None);
    sim.exit_to_user(1, None);
    assert_eq!(sim.backs().len(), 1);
}

#[test]
fn a_task_dies_in_its_entry() {
    let sim = still();
    sim.enter_kernel(1, Some(231));
    sim.pass(70);
    sim.exit();
    assert_eq!(sim.only().entry.end, End::Exited as u8);
    assert_eq!(sim.only().entry.duration_ns, 70);
    sim.pass(9_000_000);
    sim.switch(2, true);
    sim.exit_to_user(2, None);
    assert_eq!(sim.ledger().entries, 1, "what runs next is another story");
}

#[test]
fn the_death_of_another_task_leaves_the_entry_open() {
    let sim = still();
    sim.enter_kernel(1, Some(1));
    sim.switch(900, true);
    sim.exit();
    assert_eq!(sim.state.phase(), Phase::Open);
    sim.switch(1, true);
    sim.exit_to_user(1, None);
    assert_eq!(sim.only().entry.end, End::Blocked as u8);
}

#[test]
fn idling_is_no_noise_but_its_interrupts_are() {
    let sim = still();
    sim.enter_kernel(1, Some(35));
    sim.pass(10);
    let irq = Op::Run(Activity::Irq, vec![Op::Pass(30)], true);
    sim.all(&[Op::Other(0, true, vec![Op::Pass(500), irq, Op::Pass(200)])]);
    sim.pass(5);
    sim.exit_to_user(1, None);
    let record = sim.only();
    assert_eq!(record.idle_ns, 700);
    assert_eq!(record.entry.duration_ns, 745);
    assert_eq!(record.entry.end, End::Blocked as u8);
    assert_eq!(record.entry.kind, Kind::EntryFew as u8);
    assert_eq!(sim.ledger().kernel_ns, 45);
    assert_eq!(sim.ledger().idle_ns, 700);
}

#[test]
fn preemption_is_no_sleep() {
    let sim = still();
    sim.enter_kernel(1, Some(24));
    sim.all(&[Op::Other(900, false, vec![Op::Pass(80)])]);
    sim.exit_to_user(1, None);
    let record = sim.only();
    assert_eq!(record.entry.end, End::Return as u8);
    assert_eq!(nets(&record), [(Activity::Switch as u8, 80)]);
    assert_eq!(record.activities[0].number, 900);
    assert_eq!(record.activities[0].subject, [900 << 8, 900]);
}

/// A worker that sleeps inside its work item loses the frame; its end, later in the same
/// entry, must not end the work of another.
#[test]
fn an_end_does_not_reach_past_a_switch() {
    let sim = still();
    sim.enter_kernel(1, Some(24));
    let begun_elsewhere = Op::Other(900, false, vec![Op::StrayEnd(Activity::Softirq)]);
    let softirq = vec![Op::Pass(10), begun_elsewhere, Op::Pass(20)];
    sim.all(&[Op::Run(Activity::Softirq, softirq, true)]);
    sim.exit_to_user(1, None);
    assert_eq!(nets(&sim.only())[0], (Activity::Softirq as u8, 30));
}

#[test]
fn an_unseen_end_is_no_time_but_no_harm() {
    let sim = still();
    sim.enter_kernel(1, Some(24));
    let unseen = Op::Run(Activity::Timer, vec![Op::Pass(10)], false);
    sim.all(&[
        Op::Run(Activity::Softirq, vec![unseen.clone(), Op::Pass(5)], true),
        Op::StrayEnd(Activity::Irq),
        unseen,
        Op::Pass(1),
    ]);
    sim.exit_to_user(1, None);
    let record = sim.only();
    let expected = [
        (Activity::Softirq as u8, 15),
        (Activity::Timer as u8, 0),
        (Activity::Timer as u8, 11),
    ];
    assert_eq!(nets(&record), expected);
    assert_eq!(record.activities[1].flags, 0, "not measured");
}

#[test]
fn a_full_list_counts_what_it_drops() {
    for (count, dropped_shown) in [(16, 0), (17, 1), (271, 255), (400, 255)] {
        let sim = still();
        sim.enter_kernel(1, Some(24));
        for _ in 0..count {
            sim.all(&[Op::Run(Activity::Csd, vec![Op::Pass(2)], true)]);
        }
        sim.exit_to_user(1, None);
        let record = sim.only();
        assert_eq!(record.entry.activities, 16);
        assert_eq!(record.entry.dropped_activities, dropped_shown);
        assert_eq!(sim.ledger().dropped_activities, count - 16);
        assert_eq!(
            sim.state.accounted_ns.get(),
            2 * count,
            "dropped, but measured"
        );
    }
}

#[test]
fn more_under_way_than_there_are_frames_stays_balanced() {
    let sim = still();
    sim.enter_kernel(1, Some(24));
    for _ in 0..MAX_DEPTH + 3 {
        sim.activity_entry(Activity::Irq);
        sim.pass(1);
    }
    for _ in 0..MAX_DEPTH + 3 {
        sim.activity_exit(Activity::Irq);
        sim.pass(1);
    }
    assert_eq!(sim.state.depth.get(), 0);
    assert_eq!(sim.state.skipped.get(), 0);
    sim.all(&[Op::Run(Activity::Timer, vec![Op::Pass(50)], true)]);
    sim.exit_to_user(1, None);
    let record = sim.only();
    // The deepest has its own and that of the three without a frame: 4 in, 3 out.
    assert_eq!(nets(&record)[7], (Activity::Irq as u8, 7));
    assert_eq!(record.activities[8].flags, 0, "without a frame, no time");
    assert_eq!(nets(&record)[11], (Activity::Timer as u8, 50));
}

#[test]
fn filters_and_the_tracer_itself_are_accounted() {
    let sim = still();
    sim.enter_kernel(FILTERED, None);
    sim.exit_to_user(FILTERED, None);
    sim.enter_kernel(OWN, Some(0));
    sim.exit_to_user(OWN, None);
    sim.enter_kernel(IN_SECTION, Some(0));
    sim.exit_to_user(IN_SECTION, None);
    let Ledger {
        entries,
        unattributed,
        filtered,
        own_entries,
        ..
    } = sim.ledger();
    assert_eq!((entries, unattributed, filtered, own_entries), (3, 1, 1, 1));
    let flags: vec::Vec<u8> = sim.entries().iter().map(|entry| entry.flags).collect();
    assert_eq!(flags, [0, FLAG_SECTION]);
}

#[test]
fn whoever_departs_again_was_left_behind() {
    let sim = still();
    sim.enter_kernel(1, Some(1));
    sim.pass(10);
    sim.enter_kernel(1, Some(2));
    sim.pass(20);
    sim.enter_kernel(2, Some(3));
    sim.pass(30);
    sim.exit_to_user(2, None);
    let seen: vec::Vec<_> = sim
        .entries()
        .iter()
        .map(|entry| (entry.number, entry.end, entry.duration_ns))
        .collect();
    let expected = [
        (1, End::Return as u8, 10),
        (2, End::Switched as u8, 20),
        (3, End::Return as u8, 30),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_parent_is_recorded_again_once_another_has_come_or_a_name_has_changed() {
    let state = still().state;
    assert!(!state.is_parent_recorded(42, 1));
    state.record_parent(42, 1);
    assert!(state.is_parent_recorded(42, 1));
    assert!(!state.is_parent_recorded(43, 1) && !state.is_parent_recorded(42, 2));
    state.record_parent(43, 1);
    assert!(!state.is_parent_recorded(42, 1));
}
