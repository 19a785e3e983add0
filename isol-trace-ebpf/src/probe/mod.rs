//! One file a subsystem, one small function a tracepoint.

pub(crate) mod entry;
pub(crate) mod fault;
pub(crate) mod irq;
pub(crate) mod isolation;
pub(crate) mod nmi;
pub(crate) mod sched;
pub(crate) mod send;
pub(crate) mod signal;
pub(crate) mod timer;
pub(crate) mod vector;
pub(crate) mod work;

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    record::ACTIVITY_IS_CAUSE,
    span::{CpuState, Phase, entry::Departure},
};

use crate::{
    context::{Kernel, current_tid, now, this_cpu},
    kfield::{Registers, current, is_of_user_mode},
    maps::{armed, is_derived},
    off_cpu,
    preempt::unpreempted,
    span::flush,
    strict, tasks,
};

/// Whether an entry is open, or one is being opened or closed.
#[inline(always)]
fn is_under_way(state: &CpuState) -> bool {
    matches!(state.phase(), Phase::Open | Phase::Busy)
}

/// An interrupt begins: the cause of the entry where it has none, an activity in any case.
#[inline(always)]
pub(crate) fn interrupt_entry(
    state: &CpuState,
    cause: Cause,
    kind: Activity,
    number: u32,
    subject: u64,
) {
    // A task that was left behind in a system call is in the kernel already.
    if is_derived(this_cpu()) && !is_under_way(state) && !off_cpu::is_in_call(current_tid()) {
        depart_derived(state);
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
        settle_derived(state);
    });
}

/// Where entries are derived: nothing is under way any more and no system call will say so.
#[inline(always)]
pub(crate) fn settle_derived(state: &CpuState) {
    if is_derived(this_cpu())
        && state.phase() == Phase::Open
        && state.depth.get() == 0
        && state.cause() != Cause::Syscall as u8
    {
        state.settle(now());
    }
}

/// Where entries are derived: an event outside any span means that user mode was left. An
/// entry that was settling goes on if the registers saved at the departure are still the same.
#[inline(always)]
pub(crate) fn depart_derived(state: &CpuState) {
    if is_under_way(state) {
        return;
    }
    let phase = state.phase();
    let tid = current_tid();
    if !is_of_user_mode(current(), tid) {
        return;
    }
    let registers = Registers::of_current();
    if phase == Phase::Settling
        && state.is_owner(tid)
        && state.entry.ip.get() == registers.ip()
        && state.sp.get() == registers.sp()
        && state.cause() == Cause::PageFault as u8
    {
        state.resume();
        return;
    }
    let Some(control) = armed() else { return };
    if phase == Phase::Settling {
        flush(state);
    }
    state.claim();
    if state.task.tid.get() != tid || state.task.generation.get() != tasks::generation(control) {
        tasks::look_up(state, control, tid);
    }
    // `orig_ax` may be a system call's that has returned: system calls are opened by their own tracepoint.
    state.open(&Departure {
        at_ns: now(),
        tid,
        ip: registers.ip(),
        sp: registers.sp(),
        syscall: None,
    });
}
