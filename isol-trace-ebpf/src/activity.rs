//! How interrupts and activities begin and end, whether the entry is marked or derived.

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    record::ACTIVITY_IS_CAUSE,
    span::{CpuState, Phase},
};

use crate::{
    context::{Kernel, current_tid, now, this_cpu},
    derived,
    maps::is_derived,
    off_cpu,
    preempt::unpreempted,
    strict,
};

/// An interrupt begins: the cause of the entry where it has none, an activity in any case.
#[inline(always)]
pub(crate) fn interrupt_entry(
    state: &CpuState,
    cause: Cause,
    kind: Activity,
    number: u32,
    subject: u64,
) {
    // A task that was preempted in a system call is in the kernel already.
    if is_derived(this_cpu())
        && !derived::is_under_way(state)
        && !off_cpu::is_in_call(current_tid())
    {
        derived::open(state);
    }
    let is_vector = matches!(kind, Activity::Vector);
    let of_entry = if is_vector {
        state.user_since_ns.get()
    } else {
        subject
    };
    let is_cause = state.attribute(cause, number, of_entry);
    let flags = if is_cause {
        strict::strike_cause(state, cause);
        ACTIVITY_IS_CAUSE
    } else {
        0
    };
    let (number, subject) = if is_vector {
        (cause as u32, [0, now()])
    } else {
        (number, [subject, 0])
    };
    state.begin(&Kernel, kind, flags, number, subject);
}

/// An activity begins. Where entries are derived, it continues one that was settling.
#[inline(always)]
pub(crate) fn activity_entry(state: &CpuState, kind: Activity, number: u32, subject: [u64; 2]) {
    flagged_entry(state, kind, 0, number, subject);
}

/// As [`activity_entry`], with `ACTIVITY_…` bits.
#[inline(always)]
pub(crate) fn flagged_entry(
    state: &CpuState,
    kind: Activity,
    flags: u8,
    number: u32,
    subject: [u64; 2],
) {
    unpreempted(|| {
        if state.phase() == Phase::Settling && state.cause() != Cause::Nmi as u8 {
            state.resume();
        }
        state.begin(&Kernel, kind, flags, number, subject);
    });
}

/// An activity ends. Where entries are derived, the last one to end may have been the entry's end.
#[inline(always)]
pub(crate) fn activity_exit(state: &CpuState, kind: Activity) {
    unpreempted(|| {
        state.end(&Kernel, kind);
        derived::settle(state);
    });
}
