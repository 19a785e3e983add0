//! Who sends a reschedule, on kernels whose tracepoints do not tell.

use isol_trace_common::send::Via;

use crate::{
    program::{Arguments, tracepoints},
    send::{Asked, tell},
};

tracepoints! {
    [functions]
    native_smp_send_reschedule, "native_smp_send_reschedule" => send_reschedule;
}

/// `native_smp_send_reschedule(int cpu)`, arch/x86/kernel/smp.c, v6.1.
#[inline(always)]
fn send_reschedule(arguments: Arguments) {
    let target = arguments.word(0) as u32;
    tell(arguments, &Asked::of(Via::Reschedule, target));
}
