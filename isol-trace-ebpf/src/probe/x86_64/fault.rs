//! Page faults (`arch/x86/include/asm/trace/exceptions.h`).

use isol_trace_common::{activity::Activity, cause::Cause};

use crate::{
    context::{Kernel, now, this_cpu},
    derived,
    maps::{is_derived, watched_state},
    program::{Arguments, tracepoints},
    strict,
};

tracepoints! {
    page_fault_user, raw_page_fault_user => user;
    page_fault_kernel, raw_page_fault_kernel => kernel;
}

/// `exceptions:page_fault_user(unsigned long address, regs, unsigned long error_code)`. Interrupts are off.
#[inline(always)]
fn user(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    let derived = is_derived(this_cpu());
    if derived {
        derived::open_anew(state);
    }
    let taken = state.attribute(
        Cause::PageFault,
        arguments.word(2) as u32,
        arguments.word(0),
    );
    if taken {
        strict::strike_cause(state, Cause::PageFault);
    }
    if derived && taken {
        // Nothing marks a fault's end here.
        state.untimed();
        state.settle(now());
    }
}

/// `exceptions:page_fault_kernel(unsigned long address, regs, unsigned long error_code)`.
#[inline(always)]
fn kernel(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    state.mark(
        &Kernel,
        Activity::Fault,
        arguments.word(2) as u32,
        [arguments.word(0), 0],
    );
}
