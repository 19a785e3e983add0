//! The detail of a breach.

use super::*;

#[test]
fn detail() {
    let mut app = quiet(1_000);
    let mut slept = breach(7, 1, after_ms(900), 3);
    slept.end = isol_trace_common::record::End::Blocked;
    slept.duration = Some(Nanos(1_250_000_000));
    slept.idle = Nanos(1_249_000_000);
    slept.section = Some(true);
    app.apply(Update::Event(Event::Breach(Box::new(slept))));
    app.apply(Update::Event(Event::Breach(Box::new(breach(
        8,
        2,
        after_ms(950),
        0,
    )))));
    keys(&mut app, &[Key::Enter]);
    let screen = show(&mut app, 80, 24);
    assert_shows(
        &screen,
        &[
            "─ Breach 8 ─",
            "clocksource-watchdog: ",
            "0.950000 s on CPU 2",
        ],
    );
    insta::assert_snapshot!("detail_timer_80x24", screen);
    keys(&mut app, &[Key::Down]);
    let screen = show(&mut app, 120, 40);
    assert_shows(&screen, &["─ Breach 7 ─", "0.900000 s on CPU 1"]);
    insta::assert_snapshot!("detail_slept_120x40", screen);
}

/// Who provoked a breach, how it got into the kernel, and what ran where the task was.
#[test]
fn detail_with_stacks() {
    let mut app = quiet(1_000);
    let mut asked = breach(9, 2, after_ms(960), 5);
    asked.inlined = ["leaf (spin.h:7)", "middle (spin.h:20)"]
        .map(Arc::from)
        .into();
    let sender = asked.origins.iter_mut().find_map(Origin::sender_mut);
    sender.expect("a sender").user_stack = ["leaf (work.h:7) [inlined]", "work+0x1f (work.c:40)"]
        .map(Arc::from)
        .into();
    app.apply(Update::Event(Event::Breach(Box::new(asked))));
    keys(&mut app, &[Key::Enter]);
    let screen = show(&mut app, 120, 40);
    let words = [
        "inlined   leaf (spin.h:7)",
        "stack     smp_call_function_single+0xd4",
        "in user   leaf (work.h:7) [inlined]",
    ];
    assert_shows(&screen, &words);
    insta::assert_snapshot!("detail_with_stacks_120x40", screen);
}

/// Two who asked for something: whose stack is whose is told, and what has no name is an address.
#[test]
fn detail_with_the_stacks_of_two() {
    let mut app = quiet(1_000);
    let mut asked = breach(9, 2, after_ms(960), 5);
    let mut other = asked.origins[0].clone();
    let sender = other.sender_mut().expect("a sender");
    sender.cpu = Some(Cpu(3));
    sender.stack.truncate(2);
    sender.stack[1].name = None;
    asked.activities[0].origin = Some(other);
    app.apply(Update::Event(Event::Breach(Box::new(asked))));
    keys(&mut app, &[Key::Enter]);
    let screen = show(&mut app, 80, 40);
    let words = [
        "of        an interrupt on CPU 0",
        "remote: an interrupt on CPU 3",
    ];
    assert_shows(&screen, &words);
    insta::assert_snapshot!("detail_stacks_of_two_80x40", screen);
}
