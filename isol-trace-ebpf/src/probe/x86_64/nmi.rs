//! NMIs and machine checks.
//!
//! An NMI does not pass `user_exit`. Its handlers are seen one by one, each after it has
//! run (`arch/x86/kernel/nmi.c:nmi_handle`, v6.12), and nothing marks the NMI's end. The
//! kernel walks its handlers in a fixed order, so the one that came first once begins an
//! NMI whenever it comes again. Only the task isolation of a kernel that has it tells of an NMI
//! before its handlers run, where it breaches: [`derived::open_ahead_of_handlers`].

use isol_trace_common::{activity::Activity, cause::Cause, span::Phase};

use crate::{
    context::{Kernel, now},
    derived,
    maps::watched_state,
    preempt::unpreempted,
    program::{Arguments, tracepoints},
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
        Phase::Settling | Phase::Closed => derived::open_nmi(state, handler, length),
        Phase::Busy => {}
    }
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
