//! Leaving user mode and returning to it.

use crate::{
    context::{now, this_cpu},
    kfield::CurrentTask,
    maps::{armed, is_derived, is_watched, state_of},
    preempt::unpreempted,
    program::{Arguments, tracepoints},
    span::{enter_kernel, exit_to_user},
};

tracepoints! {
    user_exit, raw_user_exit => user_exit;
    user_enter, raw_user_enter => user_enter;
    sys_enter, raw_sys_enter => sys_enter;
    sys_exit, raw_sys_exit => sys_exit;
}

/// `context_tracking:user_exit(int dummy)`. Interrupts are off.
#[inline(always)]
fn user_exit(_arguments: Arguments) {
    let cpu = this_cpu();
    if is_watched(cpu) && !is_derived(cpu) {
        left_user(cpu);
    }
}

/// `context_tracking:user_enter(int dummy)`. Interrupts are off.
#[inline(always)]
fn user_enter(_arguments: Arguments) {
    let cpu = this_cpu();
    if is_watched(cpu) && !is_derived(cpu) {
        returns_to_user(cpu);
    }
}

/// `raw_syscalls:sys_enter(regs, id)`, only where entries are derived.
#[inline(always)]
fn sys_enter(_arguments: Arguments) {
    let cpu = this_cpu();
    if is_watched(cpu) && is_derived(cpu) {
        unpreempted(|| left_user(cpu));
    }
}

/// `raw_syscalls:sys_exit(regs, ret)`, only where entries are derived.
#[inline(always)]
fn sys_exit(_arguments: Arguments) {
    let cpu = this_cpu();
    if is_watched(cpu) && is_derived(cpu) {
        unpreempted(|| returns_to_user(cpu));
    }
}

#[inline(always)]
fn left_user(cpu: u32) {
    let Some(control) = armed() else { return };
    let Some(state) = state_of(cpu) else { return };
    let task = CurrentTask::get();
    enter_kernel(state, control, now(), task.tid(), task.registers());
}

#[inline(always)]
fn returns_to_user(cpu: u32) {
    if armed().is_none() {
        return;
    }
    let Some(state) = state_of(cpu) else { return };
    exit_to_user(state, now(), CurrentTask::get().tid());
}
