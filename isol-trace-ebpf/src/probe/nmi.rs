//! NMIs and machine checks.
//!
//! An NMI does not pass `user_exit`. Its handlers are seen one by one, each after it has
//! run (`arch/x86/kernel/nmi.c:nmi_handle`, v6.12), and nothing marks the NMI's end. The
//! kernel walks its handlers in a fixed order, so the one that came first once begins an
//! NMI whenever it comes again. Only the task isolation of a kernel that has it tells of an NMI
//! before its handlers run, where it breaches: [`ahead_of_handlers`].

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    span::{CpuState, Phase, entry::Departure},
};

use crate::{
    context::{Kernel, current_tid, now},
    kfield::{Registers, current, is_of_user_mode},
    maps::{armed, watched_state},
    off_cpu,
    preempt::unpreempted,
    program::{Arguments, tracepoints},
    span::flush,
    tasks,
};

tracepoints! {
    nmi_handler, raw_nmi_handler => handler;
    mce_record, raw_mce_record => machine_check;
}

/// `nmi:nmi_handler(void *handler, s64 delta_ns, int handled)`.
#[inline(always)]
fn handler(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    let handler = arguments.word(0);
    let length = arguments.word(1);
    let claimed = arguments.word(2) as u32 > 0;
    let first = state.first_nmi_handler.get();
    if first == 0 {
        state.first_nmi_handler.set(handler);
    }
    let begins = first == 0 || first == handler;
    // An NMI's entry that was opened ahead of its handlers.
    let is_nameless = state.entry.subject.get() == 0;
    match state.phase() {
        Phase::Open => {
            // Handlers that looked and passed are not worth a line, save the one that marks the NMI.
            if begins || claimed {
                state.record(&Kernel, Activity::Nmi, 0, [handler, 0], length);
            }
        }
        Phase::Settling if state.cause() == Cause::Nmi as u8 && (!begins || is_nameless) => {
            if claimed || is_nameless {
                state.entry.subject.set(handler);
            }
            state.settle(now());
        }
        Phase::Settling | Phase::Closed => entry(state, handler, length),
        Phase::Busy => {}
    }
}

/// An NMI has just hit user mode, and none of its handlers has run: the kernel's task isolation tells.
#[inline(always)]
pub(super) fn ahead_of_handlers(state: &CpuState) {
    if matches!(state.phase(), Phase::Settling | Phase::Closed) {
        entry(state, 0, 0);
    }
}

/// An NMI hit user mode: an entry of its own, which settles until the next event. `handler` is 0 where
/// the first is yet to come.
#[inline(never)]
fn entry(state: &CpuState, handler: u64, length: u64) {
    if state.phase() == Phase::Settling {
        flush(state);
    }
    let tid = current_tid();
    // Where entries are derived, a task that is back in the system call that it was switched out of
    // has no open entry: the NMI hit the kernel there.
    if !is_of_user_mode(current(), tid) || off_cpu::is_in_call(tid) {
        return;
    }
    let Some(control) = armed() else { return };
    let end = now();
    state.claim();
    if state.task.tid.get() != tid || state.task.generation.get() != tasks::generation(control) {
        tasks::look_up(state, control, tid);
    }
    let registers = Registers::of_current();
    state.open(&Departure {
        at_ns: end.saturating_sub(length),
        tid,
        ip: registers.ip(),
        sp: registers.sp(),
        syscall: None,
    });
    state.attribute(Cause::Nmi, 0, handler);
    state.settle(end);
}

/// `mce:mce_record(…)`: only where the kernel records the check inside the entry. A work item does so
/// (`arch/x86/kernel/cpu/mce/genpool.c:mce_gen_pool_process`, v7.3), which may be preempted.
#[inline(always)]
fn machine_check(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    unpreempted(|| {
        state.attribute(Cause::MachineCheck, 0, 0);
    });
}
