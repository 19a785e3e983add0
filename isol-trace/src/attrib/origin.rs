//! Who provoked a breach, as far as the breach itself tells.
//!
//! What another CPU did (sending an interrupt, queueing a work item) is not in
//! the record of the CPU that it hit: such a breach says `unknown` here.

use crate::event::model::{Activity, Breach, Cause, Origin};

/// The origins of a breach, from its cause and its activities, in order.
#[must_use]
pub fn origins(breach: &Breach) -> Vec<Origin> {
    let origin = match breach.cause.cause() {
        Cause::Syscall | Cause::PageFault | Cause::Exception => Origin::Task,
        Cause::DeviceIrq => Origin::Device,
        Cause::LocalTimer if ran_a_timer(breach) => Origin::Kernel,
        // Raised by this CPU on itself (arch/x86/kernel/irq_work.c `arch_irq_work_raise`);
        // irq_work for another CPU arrives there as a call-function interrupt.
        Cause::IrqWork => Origin::Kernel,
        Cause::LocalTimer
        | Cause::Reschedule
        | Cause::CallFunction
        | Cause::CallFunctionSingle
        | Cause::PlatformIpi
        | Cause::Thermal
        | Cause::Threshold
        | Cause::DeferredError
        | Cause::ApicError
        | Cause::Spurious
        | Cause::Nmi
        | Cause::MachineCheck
        | Cause::Unknown => Origin::Unknown,
    };
    vec![origin]
}

/// A timer's function is among the activities: the timer interrupt was for it.
fn ran_a_timer(breach: &Breach) -> bool {
    breach.activities.iter().any(|item| {
        matches!(
            item.kind,
            Activity::Timer | Activity::Hrtimer | Activity::Tick
        )
    })
}
