//! Nobody who came after the interrupt has provoked it, and nobody is named twice.

use super::*;

#[test]
fn who_calls_after_the_interrupt_arrived_has_not_provoked_it() {
    let mut join = join(&[
        (Via::CrossCall, send(900, CSD, 7)),
        (Via::CrossCall, send(1200, CSD + 64, 8)),
    ]);
    let second = vector(Cause::CallFunctionSingle, 1300);
    let mut breach = breach(
        Cause::CallFunctionSingle,
        vec![
            ran(Activity::Csd, CSD),
            second,
            ran(Activity::Csd, CSD + 64),
        ],
    );
    join.join(&mut breach);
    assert_eq!(who(&breach.origins), [Some((7, false))]);
    let asked = breach.activities[2].origin.as_ref();
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
    let mut breach = breach(Cause::CallFunctionSingle, vec![second]);
    join.join(&mut breach);
    assert_eq!(who(&breach.origins), [Some((7, true))]);
}

#[test]
fn a_timer_that_was_armed_in_the_entry_was_not_what_interrupted() {
    let mut join = join(&[(Via::Hrtimer, send(1500, TIMER, 7))]);
    let mut breach = breach(Cause::LocalTimer, vec![ran(Activity::Hrtimer, TIMER)]);
    join.join(&mut breach);
    assert_eq!(breach.origins, [Origin::Kernel(None)]);
    assert!(breach.activities[0].origin.is_some(), "but of the timer");
}

#[test]
fn the_same_origin_is_named_once() {
    let mut empty = join(&[]);
    let unknown = || ran(Activity::Csd, CSD);
    let mut called = breach(Cause::CallFunction, vec![unknown(), unknown()]);
    empty.join(&mut called);
    assert_eq!(called.origins, [Origin::Unknown]);
    let mut join = join(&[(Via::Hrtimer, send(100, TIMER, 7))]);
    let timers = [TIMER, TIMER + 64, TIMER].map(|key| ran(Activity::Hrtimer, key));
    let mut expired = breach(Cause::LocalTimer, timers.to_vec());
    join.join(&mut expired);
    assert_eq!(who(&expired.origins), [Some((7, false))], "{expired:?}");
}
