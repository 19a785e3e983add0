//! Timers and the tick.

use isol_trace_common::{
    activity::Activity,
    ledger::add,
    record::{ACTIVITY_PERF_EVENT, Kind, Task},
    span::{CpuState, Phase},
};

use crate::{
    activity::{activity_entry, activity_exit, flagged_entry},
    context::Kernel,
    kfield,
    maps::{config, watched_state},
    program::{Arguments, tracepoints},
    ring::write,
};

tracepoints! {
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
    let timer = arguments.word(0);
    let function = kfield::hrtimer_function(timer);
    let is_perf_event = function != 0 && function == config!(perf_timer_function);
    let (flags, number) = if is_perf_event && matches!(state.phase(), Phase::Open | Phase::Settling)
    {
        (ACTIVITY_PERF_EVENT, owner(state, timer))
    } else {
        (0, 0)
    };
    flagged_entry(state, Activity::Hrtimer, flags, number, [function, timer]);
}

/// The thread that owns the perf event whose timer this is, by name; 0 for none. Its name goes ahead of the entry.
#[inline(never)]
fn owner(state: &CpuState, timer: u64) -> u32 {
    let task = kfield::perf_event_owner(timer);
    let tid = kfield::task_tid(task);
    if tid == 0 {
        return 0;
    }
    let [first, second] = kfield::task_comm(task);
    let record = Task {
        kind: Kind::Task as u8,
        reserved: [0; 3],
        tid,
        pid: kfield::task_pid(task),
        reserved_tail: 0,
        // SAFETY: two words are sixteen bytes, in the order in which they lie.
        comm: unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>([first, second]) },
    };
    if !write(&record) {
        add(&state.ledger.lost_notes, 1);
    }
    tid
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
