//! Vectors of the local APIC: `irq_vectors:*_entry(int vector)` and `*_exit(int vector)`
//! (`arch/x86/include/asm/trace/irq_vectors.h`). Interrupts are off.

use isol_trace_common::{activity::Activity, cause::Cause};

use crate::{
    activity::{activity_exit, interrupt_entry},
    context::Kernel,
    maps::watched_state,
    program::{Arguments, tracepoints},
};

tracepoints! {
    local_timer_entry, raw_local_timer_entry => local_timer_entry;
    local_timer_exit, raw_local_timer_exit => exit;
    reschedule_entry, raw_reschedule_entry => reschedule_entry;
    reschedule_exit, raw_reschedule_exit => exit;
    call_function_entry, raw_call_function_entry => call_function_entry;
    call_function_exit, raw_call_function_exit => exit;
    call_function_single_entry, raw_call_function_single_entry => call_function_single_entry;
    call_function_single_exit, raw_call_function_single_exit => exit;
    irq_work_entry, raw_irq_work_entry => irq_work_entry;
    irq_work_exit, raw_irq_work_exit => irq_work_exit;
    x86_platform_ipi_entry, raw_x86_platform_ipi_entry => platform_ipi_entry;
    x86_platform_ipi_exit, raw_x86_platform_ipi_exit => exit;
    thermal_apic_entry, raw_thermal_apic_entry => thermal_entry;
    thermal_apic_exit, raw_thermal_apic_exit => exit;
    threshold_apic_entry, raw_threshold_apic_entry => threshold_entry;
    threshold_apic_exit, raw_threshold_apic_exit => exit;
    deferred_error_apic_entry, raw_deferred_error_apic_entry => deferred_error_entry;
    deferred_error_apic_exit, raw_deferred_error_apic_exit => exit;
    error_apic_entry, raw_error_apic_entry => error_entry;
    error_apic_exit, raw_error_apic_exit => exit;
    spurious_apic_entry, raw_spurious_apic_entry => spurious_entry;
    spurious_apic_exit, raw_spurious_apic_exit => exit;
}

/// One entry function per vector.
macro_rules! vectors {
    ($($(#[$doc:meta])* $name:ident => $cause:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        fn $name(_arguments: Arguments) {
            let Some(state) = watched_state() else { return };
            interrupt_entry(state, Cause::$cause, Activity::Vector, 0, 0);
        }
    )*};
}

vectors! {
    /// The local timer.
    local_timer_entry => LocalTimer;
    /// The reschedule IPI.
    reschedule_entry => Reschedule;
    /// The multicast call-function IPI.
    call_function_entry => CallFunction;
    /// The call-function IPI to one CPU.
    call_function_single_entry => CallFunctionSingle;
    /// The platform IPI.
    platform_ipi_entry => PlatformIpi;
    /// The thermal vector.
    thermal_entry => Thermal;
    /// The machine-check threshold vector.
    threshold_entry => Threshold;
    /// The deferred-error vector.
    deferred_error_entry => DeferredError;
    /// The error vector.
    error_entry => ApicError;
    /// The spurious vector.
    spurious_entry => Spurious;
}

/// The `irq_work` self-interrupt. Its functions pass no hook (`kernel/irq_work.c` is built
/// without tracing: `kernel/Makefile`, v6.12), but raising the interrupt names the first.
#[inline(always)]
fn irq_work_entry(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    interrupt_entry(state, Cause::IrqWork, Activity::Vector, 0, 0);
    let function = state.raised_irq_work.get();
    if function != 0 {
        state.raised_irq_work.set(0);
        let raised = state.raised_ns.get();
        state.begin(&Kernel, Activity::IrqWork, 0, 0, [function, raised]);
    }
}

/// The end of the `irq_work` interrupt.
#[inline(always)]
fn irq_work_exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    // The vector's end also ends what it named, where there was a name.
    activity_exit(state, Activity::IrqWork);
    activity_exit(state, Activity::Vector);
}

/// Any other vector's end.
#[inline(always)]
fn exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Vector);
}
