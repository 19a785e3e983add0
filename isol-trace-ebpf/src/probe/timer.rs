//! Timers and the tick.

use isol_trace_common::activity::Activity;

use super::{activity_entry, activity_exit};
use crate::{Arguments, kfield, maps::watched_state, span::Kernel};

crate::tracepoints! {
    timer_expire_entry, raw_timer_expire_entry => expire_entry;
    timer_expire_exit, raw_timer_expire_exit => expire_exit;
    hrtimer_expire_entry, raw_hrtimer_expire_entry => hrtimer_entry;
    hrtimer_expire_exit, raw_hrtimer_expire_exit => hrtimer_exit;
    tick_stop, raw_tick_stop => tick_stop;
}

/// `timer:timer_expire_entry(struct timer_list *timer, unsigned long baseclk)`.
#[inline(always)]
fn expire_entry(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_entry(
        state,
        Activity::Timer,
        0,
        [kfield::timer_function(arguments.word(0)), arguments.word(0)],
    );
}

/// `timer:timer_expire_exit(struct timer_list *timer)`.
#[inline(always)]
fn expire_exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Timer);
}

/// `timer:hrtimer_expire_entry(struct hrtimer *hrtimer, now)`.
#[inline(always)]
fn hrtimer_entry(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_entry(
        state,
        Activity::Hrtimer,
        0,
        [
            kfield::hrtimer_function(arguments.word(0)),
            arguments.word(0),
        ],
    );
}

/// `timer:hrtimer_expire_exit(struct hrtimer *hrtimer)`.
#[inline(always)]
fn hrtimer_exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Hrtimer);
}

/// `timer:tick_stop(int success, int dependency)`: says why the tick went on.
#[inline(always)]
fn tick_stop(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    if arguments.word(0) as u32 == 0 {
        state.mark(&Kernel, Activity::Tick, arguments.word(1) as u32, [0, 0]);
    }
}
