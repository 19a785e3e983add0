//! Isolated sections, and how they end.

use std::{
    sync::{Arc, Barrier, atomic::Ordering},
    thread,
};

use anyhow::{Result, ensure};
use task_isolation::{
    Config, End, Flags, OnBreach, Signal, breaches, configure, enter_within, is_isolated,
};

use crate::{
    Test,
    stage::{self, HANDLED, LIMIT, REENTER, REFUSED, call, handled},
};

pub(crate) const TESTS: &[Test] = &[
    ("is_left_alone", is_left_alone),
    ("ends_where_it_is_dropped", ends_where_it_is_dropped),
    ("a_system_call_ends_it", a_system_call_ends_it),
    ("is_entered_again", is_entered_again),
    (
        "an_earlier_guard_ends_no_later_section",
        an_earlier_guard_ends_no_later_section,
    ),
    ("goes_on_on_request", goes_on_on_request),
    ("a_handler_enters_again", a_handler_enters_again),
    (
        "a_handler_may_enter_what_goes_on",
        a_handler_may_enter_what_goes_on,
    ),
    ("ends_where_it_moves", ends_where_it_moves),
    ("two_are_isolated_at_once", two_are_isolated_at_once),
    (
        "is_entered_ten_thousand_times",
        is_entered_ten_thousand_times,
    ),
];

fn is_left_alone() -> Result<()> {
    let isolated = stage::signalled()?;
    stage::spin(1000);
    let end = isolated.leave();
    ensure!(end == End::Undisturbed && handled() == 0, "{end:?}");
    ensure!(breaches()? == 0);
    ensure!(!is_isolated()?);
    Ok(())
}

fn ends_where_it_is_dropped() -> Result<()> {
    drop(stage::signalled()?);
    ensure!(!is_isolated()?);
    call();
    ensure!(handled() == 0);
    Ok(())
}

fn a_system_call_ends_it() -> Result<()> {
    let isolated = stage::signalled()?;
    call();
    let (active, end) = (isolated.is_active(), isolated.leave());
    ensure!(!active && end == End::Broken, "{end:?}");
    ensure!(handled() == 1 && breaches()? == 1);
    Ok(())
}

fn is_entered_again() -> Result<()> {
    let mut isolated = stage::signalled()?;
    for round in 1..=3 {
        call();
        let broken = !isolated.is_active();
        isolated.reenter(LIMIT)?;
        let again = isolated.is_active();
        isolated.reenter(LIMIT)?;
        let seen = handled();
        if !(broken && again && seen == round) {
            drop(isolated);
            anyhow::bail!("round {round}: broken {broken}, again {again}, {seen} breaches");
        }
    }
    let end = isolated.leave();
    ensure!(end == End::Undisturbed, "{end:?}");
    ensure!(breaches()? == 3);
    Ok(())
}

fn an_earlier_guard_ends_no_later_section() -> Result<()> {
    let earlier = stage::signalled()?;
    call();
    let later = enter_within(LIMIT)?;
    let was_active = earlier.is_active();
    drop(earlier);
    let end = later.leave();
    ensure!(end == End::Undisturbed && !was_active, "{end:?}");
    ensure!(!is_isolated()?);
    Ok(())
}

fn goes_on_on_request() -> Result<()> {
    stage::own_cpu(0)?;
    configure(&Config::default().with_flags(Flags::PERSISTENT))?;
    let isolated = enter_within(LIMIT)?;
    for _ in 0..3 {
        call();
    }
    let end = isolated.leave();
    ensure!(end == End::Undisturbed, "{end:?}");
    ensure!(breaches()? == 3);
    Ok(())
}

fn a_handler_enters_again() -> Result<()> {
    let isolated = stage::signalled()?;
    REENTER.store(true, Ordering::Relaxed);
    let mut active = 0;
    for _ in 0..3 {
        call();
        active += u32::from(isolated.is_active());
    }
    REENTER.store(false, Ordering::Relaxed);
    let end = isolated.leave();
    ensure!(end == End::Undisturbed, "{end:?}");
    ensure!(active == 3 && handled() == 3, "{active} {}", handled());
    Ok(())
}

fn a_handler_may_enter_what_goes_on() -> Result<()> {
    stage::own_cpu(0)?;
    HANDLED.store(0, Ordering::Relaxed);
    let config = Config::new(OnBreach::Signal(Signal::USR1)).with_flags(Flags::PERSISTENT);
    configure(&config)?;
    let isolated = enter_within(LIMIT)?;
    REENTER.store(true, Ordering::Relaxed);
    call();
    REENTER.store(false, Ordering::Relaxed);
    let end = isolated.leave();
    ensure!(end == End::Undisturbed && handled() == 1, "{end:?}");
    ensure!(!REFUSED.load(Ordering::Relaxed));
    Ok(())
}

fn ends_where_it_moves() -> Result<()> {
    stage::own_cpu(0)?;
    configure(&Config::default().with_flags(Flags::PERSISTENT))?;
    let isolated = enter_within(LIMIT)?;
    stage::own_cpu(1)?;
    let end = isolated.leave();
    ensure!(end == End::Broken, "{end:?}");
    Ok(())
}

fn two_are_isolated_at_once() -> Result<()> {
    let barrier = Arc::new(Barrier::new(2));
    let other = thread::spawn({
        let barrier = Arc::clone(&barrier);
        move || section_of_two(1, &barrier)
    });
    let ends = [
        section_of_two(0, &barrier),
        other
            .join()
            .unwrap_or_else(|_| anyhow::bail!("it panicked")),
    ];
    for end in ends {
        let end = end?;
        ensure!(end == End::Undisturbed, "{end:?}");
    }
    Ok(())
}

/// The thread's end frees its stack, and that would disturb the other one.
fn section_of_two(n: usize, barrier: &Barrier) -> Result<End> {
    let section = || -> Result<End> {
        stage::own_cpu(n)?;
        configure(&Config::new(OnBreach::Log))?;
        barrier.wait();
        let isolated = enter_within(LIMIT)?;
        stage::spin(500);
        Ok(isolated.leave())
    };
    let end = section();
    barrier.wait();
    end
}

fn is_entered_ten_thousand_times() -> Result<()> {
    stage::own_cpu(0)?;
    configure(&Config::new(OnBreach::Signal(Signal::USR1)))?;
    for _ in 0..10_000 {
        drop(enter_within(LIMIT)?);
    }
    ensure!(breaches()? < 5000, "{} breaches", breaches()?);
    Ok(())
}
