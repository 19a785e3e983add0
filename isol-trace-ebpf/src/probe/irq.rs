//! Device interrupts and softirqs.

use isol_trace_common::{activity::Activity, cause::Cause};

use crate::{
    activity::{activity_entry, activity_exit, interrupt_entry},
    kfield,
    maps::watched_state,
    program::{Arguments, tracepoints},
};

tracepoints! {
    irq_handler_entry, raw_irq_handler_entry => handler_entry;
    irq_handler_exit, raw_irq_handler_exit => handler_exit;
    softirq_entry, raw_softirq_entry => softirq_entry;
    softirq_exit, raw_softirq_exit => softirq_exit;
}

/// `irq:irq_handler_entry(int irq, struct irqaction *action)`.
#[inline(always)]
fn handler_entry(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    let handler = kfield::irqaction_handler(arguments.word(1));
    interrupt_entry(
        state,
        Cause::DeviceIrq,
        Activity::Irq,
        arguments.word(0) as u32,
        handler,
    );
}

/// `irq:irq_handler_exit(int irq, struct irqaction *action, int ret)`.
#[inline(always)]
fn handler_exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Irq);
}

/// `irq:softirq_entry(unsigned int vec_nr)`.
#[inline(always)]
fn softirq_entry(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_entry(state, Activity::Softirq, arguments.word(0) as u32, [0; 2]);
}

/// `irq:softirq_exit(unsigned int vec_nr)`.
#[inline(always)]
fn softirq_exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Softirq);
}
