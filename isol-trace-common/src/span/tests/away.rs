//! What is kept of an owner that is still in the kernel when its span ends.

use super::{
    super::{
        NOTE_FILTERED, NOTE_SECTION_CALL,
        away::{AWAY_UNTOLD, Away},
    },
    scenes::still,
};

#[test]
fn a_section_call_is_kept_also_where_its_return_is_untold() {
    for (notes, migrated, untold, forgettable) in [
        (0, 0, false, false),
        (NOTE_FILTERED, 0, true, true),
        (0, 1, true, true),
        (NOTE_SECTION_CALL, 0, false, false),
        (NOTE_SECTION_CALL | NOTE_FILTERED, 0, true, false),
        (NOTE_SECTION_CALL, 1, true, false),
    ] {
        let sim = still();
        sim.state.notes.set(notes);
        sim.state.migrated.set(migrated);
        sim.state.entry.args[1].set(5);
        let away = Away::left(&sim.state, 3);
        assert_eq!(away.notes & AWAY_UNTOLD != 0, untold, "{notes} {migrated}");
        assert_eq!(away.is_forgettable(), forgettable, "{notes} {migrated}");
        let expected = (notes & NOTE_SECTION_CALL != 0).then_some(5);
        assert_eq!(away.section_call(), expected, "{notes} {migrated}");
    }
}

/// Only a system call has a return before it that ends no further entry.
#[test]
fn a_task_is_in_a_call_where_its_entry_is_one() {
    for (syscall, in_call) in [(Some(24), 1), (None, 0)] {
        let sim = still();
        sim.enter_kernel(1, syscall);
        assert_eq!(Away::left(&sim.state, 3).in_call, in_call, "{syscall:?}");
    }
}

/// Another CPU wakes it, and may have read the clock before the entry's record was closed.
#[test]
fn nobody_is_away_before_the_end_of_its_record() {
    let mut away = Away {
        opened_ns: 300,
        since_ns: 500,
        asleep: 1,
        ..Away::default()
    };
    away.wake(400);
    assert_eq!((away.asleep, away.since_ns), (0, 500));
    away.wake(900);
    assert_eq!(away.since_ns, 500, "it is awake already");
    away.asleep = 1;
    away.wake(900);
    assert_eq!(away.since_ns, 900);
}

#[test]
fn a_return_is_of_the_task_that_left_and_later() {
    let away = Away {
        opened_ns: 300,
        since_ns: 500,
        ..Away::default()
    };
    let away_ns = |born, at| away.back(1, born, at).map(|back| back.away_ns);
    assert_eq!(away_ns(0, 700), Some(200));
    assert_eq!(away_ns(300, 500), Some(0), "no time at all is none");
    assert_eq!(away_ns(0, 499), None, "the clock went back");
    assert_eq!(away_ns(301, 700), None, "born since");
}

/// Only the entry that a task has left last is one that it can come back to.
#[test]
fn who_has_been_in_user_mode_since_does_not_come_back_to_the_entry() {
    let left = |opened_ns, cpu| Away {
        opened_ns,
        cpu,
        ..Away::default()
    };
    let sim = still();
    sim.enter_kernel(1, Some(24));
    sim.switch(0, true);
    let opened = sim.state.entry.opened_ns.get();
    for (kept, comes_back) in [
        (None, true),
        (Some(left(opened, 3)), true),
        (Some(left(opened, 4)), false),
        (Some(left(opened + 1, 3)), false),
    ] {
        assert!(
            !sim.state.owner_migrated_back(3, 0, kept.as_ref()),
            "it is here"
        );
        sim.state.owner_migrated();
        assert!(!sim.state.is_owner(1));
        let came = sim.state.owner_migrated_back(3, 0, kept.as_ref());
        assert_eq!(came, comes_back, "{kept:?}");
        assert_eq!(sim.state.is_owner(1), comes_back, "{kept:?}");
        sim.state.migrated.set(0);
    }
    sim.state.owner_migrated();
    assert!(
        !sim.state.owner_migrated_back(3, opened + 1, None),
        "born since"
    );
}
