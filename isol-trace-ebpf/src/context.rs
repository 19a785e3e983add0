//! What surrounds a program that runs: the time, the CPU, the current thread, and the span machine's
//! view of these.

use core::{
    cell::Cell,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns,
};
use isol_trace_common::span::Env;

/// The machine's clock in the kernel.
pub(crate) struct Kernel;

impl Env for Kernel {
    #[inline(always)]
    fn now(&self) -> u64 {
        now()
    }

    #[inline(always)]
    fn take(&self, counter: &Cell<u32>) -> u32 {
        // SAFETY: the pointer is of a live cell, which only programs of this CPU change.
        unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(counter.as_ptr(), 1) }
    }

    #[inline(always)]
    fn accrue(&self, sum: &Cell<u64>, amount: u64) {
        // SAFETY: as above.
        let _before =
            unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(sum.as_ptr(), amount) };
    }
}

/// `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper has no requirements.
    unsafe { bpf_ktime_get_ns() }
}

/// The CPU that this program runs on.
#[inline(always)]
pub(crate) fn this_cpu() -> u32 {
    // SAFETY: the helper has no requirements.
    unsafe { bpf_get_smp_processor_id() }
}

/// The current process, in the upper half, and the current thread.
#[inline(always)]
pub(crate) fn current_ids() -> u64 {
    // SAFETY: the helper has no requirements.
    unsafe { bpf_get_current_pid_tgid() }
}

/// The current thread.
#[inline(always)]
pub(crate) fn current_tid() -> u32 {
    current_ids() as u32
}
