//! Interrupts sent to watched CPUs: our own are counted, and a CPU's `irq_work` to itself is
//! remembered by its function.

use crate::{
    Arguments,
    kfield::in_interrupt,
    maps::{OWN_SENDS, armed, config, is_watched, this_cpu, watched_state},
};

crate::tracepoints! {
    ipi_send_cpu, raw_ipi_send_cpu => ipi_send_cpu;
    [raw only]
    raw_csd_queue_cpu => csd_queue_cpu;
}

/// `ipi:ipi_send_cpu(unsigned int cpu, unsigned long callsite, void *callback)`.
#[inline(always)]
fn ipi_send_cpu(arguments: Arguments) {
    let (target, callback) = (arguments.word(0) as u32, arguments.word(2));
    if target == this_cpu() {
        // `kernel/irq_work.c:irq_work_raise` (v6.12): to this CPU, with the work's function.
        if let Some(state) = watched_state() {
            state.raised_irq_work.set(callback);
        }
    } else if callback == 0 || config!(queues_seen) == 0 {
        // Only reschedules have no callback (`include/linux/smp.h:smp_send_reschedule`, v6.12);
        // any other has been queued before, where `csd_queue_cpu` saw it.
        count_own(target);
    }
}

/// `csd:csd_queue_cpu(unsigned int cpu, unsigned long callsite, smp_call_func_t func, call_single_data_t *csd)`.
#[inline(always)]
fn csd_queue_cpu(arguments: Arguments) {
    count_own(arguments.word(0) as u32);
}

/// Counts what the tracer's own threads ask of a watched CPU. What an interrupt handler or a
/// softirq asks for in their time is not theirs; where the kernel does not tell, it counts.
#[inline(always)]
fn count_own(target: u32) {
    if !is_watched(target) || armed().is_none() {
        return;
    }
    // SAFETY: the helper has no requirements.
    let pid = unsafe { aya_ebpf::helpers::generated::bpf_get_current_pid_tgid() } >> 32;
    if pid as u32 != config!(own_pid) || in_interrupt() == Some(true) {
        return;
    }
    if let Some(count) = OWN_SENDS.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's own.
        unsafe { *count += 1 };
    }
}
