//! Nobody who came after the interrupt has provoked it, and nobody is named twice.

use super::*;

#[test]
fn who_calls_after_the_interrupt_arrived_has_not_provoked_it() {
    let mut join = join(&[
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(1200, CSD + 64, 8)),
    ]);
    let second = vector(Cause::CallFunctionSingle, 1300);
    let entry = entered(
        Cause::CallFunctionSingle,
        vec![
            ran(Activity::Csd, CSD),
            second,
            ran(Activity::Csd, CSD + 64),
        ],
    );
    let entry = join.join(Seq(1), entry);
    assert_eq!(who(&entry.origins), [Some((7, false))]);
    let asked = entry.asked[2].origin.as_ref();
    let later = asked.and_then(Origin::sender).unwrap();
    assert_eq!(
        later.at,
        Some(MonoNanos(1200)),
        "it asked for what ran then"
    );
}

#[test]
fn a_call_that_shows_nothing_and_came_later_is_not_among_the_origins() {
    let mut join = join(&[
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(1200, CSD + 64, 8)),
    ]);
    let second = vector(Cause::CallFunctionSingle, 1300);
    let entry = entered(Cause::CallFunctionSingle, vec![second]);
    let entry = join.join(Seq(1), entry);
    assert_eq!(who(&entry.origins), [Some((7, true))]);
}

#[test]
fn a_timer_that_was_armed_in_the_entry_was_not_what_interrupted() {
    let mut join = join(&[(Via::Hrtimer, send(1500, TIMER, 7))]);
    let entry = entered(Cause::LocalTimer, vec![ran(Activity::Hrtimer, TIMER)]);
    let entry = join.join(Seq(1), entry);
    assert_eq!(entry.origins, [Origin::Kernel(None)]);
    assert!(entry.asked[0].origin.is_some(), "but of the timer");
}

#[test]
fn the_same_origin_is_named_once() {
    let mut empty = join(&[]);
    let unknown = || ran(Activity::Csd, CSD);
    let called = entered(Cause::CallFunction, vec![unknown(), unknown()]);
    let called = empty.join(Seq(1), called);
    assert_eq!(called.origins, [Origin::Unknown]);
    let mut join = join(&[(Via::Hrtimer, send(100, TIMER, 7))]);
    let timers = [TIMER, TIMER + 64, TIMER].map(|key| ran(Activity::Hrtimer, key));
    let expired = entered(Cause::LocalTimer, timers.to_vec());
    let expired = join.join(Seq(1), expired);
    assert_eq!(who(&expired.origins), [Some((7, false))], "{expired:?}");
}
