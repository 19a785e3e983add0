//! Keeping a program whole where the kernel may preempt it.
//!
//! A tracepoint's programs once ran with preemption disabled (`include/linux/tracepoint.h`,
//! `__DO_TRACE_CALL`, v6.12). In v7.3 they only enter a section of SRCU (`__DECLARE_TRACE`) and stay on
//! their CPU (`kernel/trace/bpf_trace.c:__bpf_trace_run`): another task of the CPU may pass the whole
//! kernel while such a program is in the middle of that CPU's state. Most of our hooks lie where
//! interrupts are off, or preemption is, anyway. The others say so here.

use isol_trace_common::functions::Function;

/// Does something without being preempted.
#[inline(always)]
pub(crate) fn unpreempted(work: impl FnOnce()) {
    call(Function::PreemptDisable);
    work();
    call(Function::PreemptEnable);
}

/// Calls a function of the kernel that takes and gives nothing. The loader puts its number in, or
/// leaves the call out.
#[inline(always)]
fn call(function: Function) {
    // SAFETY: what is called is never this address: see `isol_trace_common::functions`.
    unsafe {
        let function: extern "C" fn() = core::mem::transmute(function.mark() as usize);
        function();
    }
}
