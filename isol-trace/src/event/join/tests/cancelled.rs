//! Timer interrupts that find nothing, and who cancelled the timer.

use super::*;

/// Thread `tid` cancels, at a time, a timer that is due at another.
fn cancel(at: u64, due: u64, tid: u32) -> (Via, Send) {
    (Via::Cancel, send(at, due, tid))
}

fn empty() -> KernelEntry {
    entered(Cause::LocalTimer, Vec::new())
}

#[test]
fn an_interrupt_that_finds_nothing_is_of_who_cancelled_its_timer() {
    let mut join = join(&[cancel(300, 1005, 7)]);
    let origins = provokers(&mut join, &empty());
    assert_eq!(who(&origins), [Some((7, true))]);
    assert!(matches!(&origins[0], Origin::Remote(sender) if sender.via == Via::Cancel));
    let again = provokers(&mut join, &empty());
    assert_eq!(again, [Origin::Unknown], "answered once");
}

/// So it is where a softirq would have run the timer.
#[test]
fn what_is_no_timer_may_have_run() {
    let mut join = join(&[cancel(300, 1005, 7)]);
    let entry = entered(Cause::LocalTimer, vec![ran(Activity::Softirq, 0)]);
    assert_eq!(who(&provokers(&mut join, &entry)), [Some((7, true))]);
}

#[test]
fn a_clock_may_be_a_little_early() {
    let mut join = join(&[cancel(300, 900_000, 7)]);
    assert_eq!(who(&provokers(&mut join, &empty())), [Some((7, true))]);
}

#[test]
fn who_cannot_have_been_it_is_not_named() {
    let long_before_user_mode = cancel(300, 499, 7);
    let not_due_yet = cancel(300, 2_000_000, 7);
    let after_it_came = cancel(1011, 1005, 7);
    for other in [long_before_user_mode, not_due_yet, after_it_came] {
        let mut join = join(&[other]);
        assert_eq!(provokers(&mut join, &empty()), [Origin::Unknown]);
    }
    let mut unknown_since = empty();
    unknown_since.user_since = None;
    let mut join = join(&[cancel(300, 1005, 7)]);
    assert_eq!(provokers(&mut join, &unknown_since), [Origin::Unknown]);
}

#[test]
fn of_two_it_is_neither_and_of_one_twice_it_is_that_one() {
    let mut two = join(&[cancel(300, 1005, 7), cancel(310, 1004, 8)]);
    assert_eq!(provokers(&mut two, &empty()), [Origin::Unknown]);
    let mut one = join(&[cancel(300, 1005, 7), cancel(310, 1004, 7)]);
    assert_eq!(who(&provokers(&mut one, &empty())), [Some((7, true))]);
}

#[test]
fn an_interrupt_that_ran_a_timer_answers_what_was_cancelled_before() {
    let timer = ran(Activity::Hrtimer, TIMER);
    let mut join = join(&[cancel(300, 1005, 7)]);
    let origins = provokers(&mut join, &entered(Cause::LocalTimer, vec![timer]));
    assert_eq!(origins, [Origin::Kernel(None)]);
    assert_eq!(provokers(&mut join, &empty()), [Origin::Unknown]);
}

#[test]
fn one_that_came_inside_another_entry_answers_too() {
    let mut join = join(&[cancel(300, 1005, 7)]);
    let inside = call(vec![vector(Cause::LocalTimer, 1500)]);
    assert_eq!(provokers(&mut join, &inside), [Origin::Unknown]);
    assert_eq!(provokers(&mut join, &empty()), [Origin::Unknown]);
}

#[test]
fn those_that_were_due_first_are_remembered() {
    let mut many: Vec<_> = (0..100)
        .map(|late| cancel(300, 5_000_000 + late, 8))
        .collect();
    many.insert(50, cancel(300, 1005, 7));
    let mut join = join(&many);
    assert_eq!(who(&provokers(&mut join, &empty())), [Some((7, true))]);
    assert_eq!(join.evicted(), 0, "the others leave no interrupt behind");
}
