//! Vectors of the local APIC: `irq_vectors:*_entry(int vector)` and `*_exit(int vector)`
//! (`arch/x86/include/asm/trace/irq_vectors.h`). Interrupts are off.

use isol_trace_common::{activity::Activity, cause::Cause};

use super::{activity_exit, interrupt_entry};
use crate::{Arguments, maps::watched_state};

/// One entry function per vector.
macro_rules! vectors {
    ($($(#[$doc:meta])* $name:ident => $cause:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(_arguments: Arguments) {
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
    /// The irq_work self-interrupt.
    irq_work_entry => IrqWork;
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

/// Any vector's end.
#[inline(always)]
pub(crate) fn exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Vector);
}
