//! What is asked of watched CPUs: cross-calls, reschedules, work items, timers, armed and cancelled. The sender leaves a
//! record of it, and so does a CPU that raises the interrupt for an `irq_work` on itself.

use isol_trace_common::{
    config::{ABSENT, FIRST_WATCHED},
    send::Via,
};

use crate::{
    arch::in_interrupt,
    context::this_cpu,
    kfield,
    maps::{armed, config, is_watched, state_of},
    program::{Arguments, tracepoints},
    send::{Asked, queued, tell, write},
};

tracepoints! {
    ipi_send_cpu, raw_ipi_send_cpu => ipi_send_cpu;
    workqueue_queue_work, raw_workqueue_queue_work => queue_work;
    timer_start, raw_timer_start => timer_start;
    hrtimer_start, raw_hrtimer_start => hrtimer_start;
    hrtimer_cancel, raw_hrtimer_cancel => hrtimer_cancel;
    [raw only]
    raw_csd_queue_cpu => csd_queue_cpu;
    [functions]
    __smp_call_single_queue, "__smp_call_single_queue" => call_single_queue;
    smp_call_function_single, "smp_call_function_single" => call_single;
    smp_call_function_single_async, "smp_call_function_single_async" => call_single_queue;
    smp_call_function_many_cond, "smp_call_function_many_cond" => call_many;
}

/// `ipi:ipi_send_cpu(unsigned int cpu, unsigned long callsite, void *callback)`.
#[inline(always)]
fn ipi_send_cpu(arguments: Arguments) {
    let (target, callback) = (arguments.word(0) as u32, arguments.word(2));
    let is_own = target == this_cpu();
    // Only reschedules have no callback (`include/linux/smp.h:smp_send_reschedule`, v6.12);
    // any other has been queued before, where `csd_queue_cpu` saw it.
    let via = if callback == 0 {
        Via::Reschedule
    } else if is_own {
        // `kernel/irq_work.c:irq_work_raise` (v6.12): to this CPU, with the work's function.
        Via::IrqWork
    } else if config!(queues_seen) == 0 {
        Via::CrossCall
    } else {
        return;
    };
    if !is_watched(target) || armed().is_none() || (is_own && callback == 0) {
        return;
    }
    let at_ns = write(
        arguments,
        &Asked {
            function: callback,
            callsite: arguments.word(1),
            ..Asked::of(via, target)
        },
    );
    if is_own && let Some(state) = state_of(target) {
        state.raised_irq_work.set(callback);
        state.raised_ns.set(at_ns);
    }
}

/// `csd:csd_queue_cpu(unsigned int cpu, unsigned long callsite, smp_call_func_t func, call_single_data_t *csd)`.
#[inline(always)]
fn csd_queue_cpu(arguments: Arguments) {
    tell(
        arguments,
        &Asked {
            key: arguments.word(3),
            function: arguments.word(2),
            callsite: arguments.word(1),
            ..Asked::of(Via::CrossCall, arguments.word(0) as u32)
        },
    );
}

/// `smp_call_function_single(int cpu, smp_call_func_t func, void *info, int wait)`, kernel/smp.c, v6.1.
#[inline(always)]
fn call_single(arguments: Arguments) {
    let target = arguments.word(0) as u32;
    if target != this_cpu() && is_watched(target) && armed().is_some() {
        call_one(arguments, target, false);
    }
}

/// `__smp_call_single_queue(int cpu, struct llist_node *node)`, kernel/smp.c, v6.1: batches of
/// wake-ups, and `irq_work` for another CPU; calls by functions of the same file may have it inlined.
/// `smp_call_function_single_async(int cpu, struct __call_single_data *csd)`. The node is the csd's first field.
#[inline(always)]
fn call_single_queue(arguments: Arguments) {
    let csd = arguments.word(1);
    tell(
        arguments,
        &Asked {
            key: csd,
            function: kfield::csd_function(csd),
            ..Asked::of(Via::CrossCall, arguments.word(0) as u32)
        },
    );
}

/// `smp_call_function_many_cond(const struct cpumask *mask, smp_call_func_t func, void *info,
/// unsigned int scf_flags, smp_cond_func_t cond_func)`, kernel/smp.c, v6.1: calls of several CPUs, whose
/// csds are queued inside.
#[inline(always)]
fn call_many(arguments: Arguments) {
    if armed().is_none() {
        return;
    }
    let mask = arguments.word(0);
    let mut place = 0;
    while place < FIRST_WATCHED {
        let target = config!(first_watched[place]);
        if target == ABSENT {
            return;
        }
        if target != this_cpu() && is_watched(target) && kfield::mask_has(mask, target) {
            call_one(arguments, target, arguments.of_function(4) != 0);
        }
        place += 1;
    }
}

/// A call of a watched CPU by its second argument, the function.
#[inline(never)]
fn call_one(arguments: Arguments, target: u32, conditional: bool) {
    let _when = write(
        arguments,
        &Asked {
            function: arguments.of_function(1),
            conditional,
            ..Asked::of(Via::CrossCall, target)
        },
    );
}

/// `workqueue:workqueue_queue_work(int req_cpu, struct pool_workqueue *pwq, struct work_struct *work)`.
#[inline(always)]
fn queue_work(arguments: Arguments) {
    let work = arguments.word(2);
    if let Some(target) = watched_target(|| kfield::queue_cpu(arguments.word(1))) {
        let function = kfield::work_function(work);
        queued(arguments, Via::Work, target, work, function);
    }
}

/// `timer:timer_start(struct timer_list *timer, …)`.
#[inline(always)]
fn timer_start(arguments: Arguments) {
    let timer = arguments.word(0);
    if let Some(target) = watched_target(|| kfield::timer_cpu(timer)) {
        let function = kfield::timer_function(timer);
        queued(arguments, Via::Timer, target, timer, function);
    }
}

/// `timer:hrtimer_start(struct hrtimer *hrtimer, …)`.
#[inline(always)]
fn hrtimer_start(arguments: Arguments) {
    let timer = arguments.word(0);
    let Some(target) = watched_target(|| kfield::hrtimer_cpu(timer)) else {
        return;
    };
    // A timer that arms itself again on its own CPU, such as the tick, has no other origin.
    if target == this_cpu() && in_interrupt() == Some(true) {
        return;
    }
    let function = kfield::hrtimer_function(timer);
    queued(arguments, Via::Hrtimer, target, timer, function);
}

/// `timer:hrtimer_cancel(struct hrtimer *hrtimer)`. A CPU sets only its own clock: a timer that another one cancels
/// leaves its interrupt behind (`kernel/time/hrtimer.c:remove_hrtimer`, v6.12 and v7.2). The tracepoint is also passed
/// where a timer that is armed is set anew, and, before 7.2, where one expires: on its own CPU, which a
/// watched one is spared looking up.
#[inline(always)]
fn hrtimer_cancel(arguments: Arguments) {
    if is_watched(this_cpu()) {
        return;
    }
    let timer = arguments.word(0);
    let Some(target) = watched_target(|| kfield::hrtimer_cpu(timer)) else {
        return;
    };
    let (due, function) = (kfield::hrtimer_due(timer), kfield::hrtimer_function(timer));
    queued(arguments, Via::Cancel, target, due, function);
}

/// Where something is to run, if that is a watched CPU and the switch is on.
#[inline(always)]
fn watched_target(target: impl FnOnce() -> Option<u32>) -> Option<u32> {
    armed()?;
    target().filter(|&cpu| is_watched(cpu))
}
