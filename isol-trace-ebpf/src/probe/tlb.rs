//! TLB flushes.

use isol_trace_common::activity::Activity;

use crate::{
    context::Kernel,
    maps::watched_state,
    program::{Arguments, tracepoints},
};

tracepoints! {
    tlb_flush, raw_tlb_flush => tlb_flush;
}

/// `tlb:tlb_flush(int reason, unsigned long pages)`.
#[inline(always)]
fn tlb_flush(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    state.mark(
        &Kernel,
        Activity::TlbFlush,
        arguments.word(0) as u32,
        [0, arguments.word(1)],
    );
}
