//! Signals, and the exceptions that only a signal names.
//!
//! The kernel holds the lock of the task's signals here, which is one that sleeps with `PREEMPT_RT`
//! (`kernel/signal.c:send_signal_locked` and `get_signal`, v7.3).

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    kill::is_of_exception,
    record::End,
    span::{CpuState, Phase},
};

use crate::{
    arch,
    context::{Kernel, current_tid},
    kfield, kill,
    maps::{armed, watched_state},
    preempt::unpreempted,
    program::{Arguments, tracepoints},
};

tracepoints! {
    signal_generate, raw_signal_generate => generate;
    signal_deliver, raw_signal_deliver => deliver;
}

/// `struct kernel_siginfo *` values that are no pointers: `SEND_SIG_NOINFO`, `SEND_SIG_PRIV`
/// (`include/linux/sched/signal.h`).
const LAST_SPECIAL_INFO: u64 = 2;

/// `signal:signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`.
#[inline(always)]
fn generate(arguments: Arguments) {
    if armed().is_some() {
        kill::sent(
            arguments.word(0) as u32,
            arguments.word(1),
            arguments.word(2),
            arguments.word(4) as u32,
        );
    }
    name_exception(arguments);
}

/// A forced signal to the current task with a positive code comes from an exception, and then
/// [`arch::trap_number`] says which. Without all of these conditions the number is an old one.
#[inline(always)]
fn name_exception(arguments: Arguments) {
    if let Some(state) = watched_state() {
        unpreempted(|| name_exception_of(state, arguments));
    }
}

#[inline(always)]
fn name_exception_of(state: &CpuState, arguments: Arguments) {
    if state.phase() != Phase::Open || !state.is_owner(current_tid()) {
        return;
    }
    let signal = arguments.word(0) as u32;
    let info = arguments.word(1);
    let current = kfield::current();
    if !is_of_exception(signal)
        || info <= LAST_SPECIAL_INFO
        || arguments.word(2) != current
        || kfield::siginfo_code(info).is_none_or(|code| code <= 0)
    {
        return;
    }
    let Some(trap) = arch::trap_number(current) else {
        return;
    };
    let had_cause = state.cause() != Cause::Unknown as u8;
    if state.attribute_late(Cause::Exception, trap as u32) && had_cause {
        // An interrupt fell between the exception and its signal, and had been taken for the cause.
        state.demote_cause();
    }
}

/// `signal:signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)`.
#[inline(always)]
fn deliver(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    let (signal, action) = (arguments.word(0) as u32, arguments.word(2));
    unpreempted(|| {
        if state.end_for(current_tid()) != End::Switched {
            state.mark(&Kernel, Activity::Signal, signal, [0, 0]);
        }
        kill::delivered(state, signal, action);
    });
}
