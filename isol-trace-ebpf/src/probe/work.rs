//! Work that was queued: work items and cross-calls.

use isol_trace_common::activity::Activity;

use crate::{
    activity::{activity_entry, activity_exit},
    kfield,
    maps::watched_state,
    program::{Arguments, tracepoints},
};

tracepoints! {
    workqueue_execute_start, raw_workqueue_execute_start => start;
    workqueue_execute_end, raw_workqueue_execute_end => end;
    [raw only]
    raw_csd_function_entry => csd_entry;
    raw_csd_function_exit => csd_exit;
}

/// `workqueue:workqueue_execute_start(struct work_struct *work)`.
#[inline(always)]
fn start(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_entry(
        state,
        Activity::Work,
        0,
        [kfield::work_function(arguments.word(0)), arguments.word(0)],
    );
}

/// `workqueue:workqueue_execute_end(struct work_struct *work, work_func_t function)`.
#[inline(always)]
fn end(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Work);
}

/// `csd:csd_function_entry(smp_call_func_t func, call_single_data_t *csd)`.
#[inline(always)]
fn csd_entry(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_entry(
        state,
        Activity::Csd,
        0,
        [arguments.word(0), arguments.word(1)],
    );
}

/// `csd:csd_function_exit(smp_call_func_t func, call_single_data_t *csd)`.
#[inline(always)]
fn csd_exit(_arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    activity_exit(state, Activity::Csd);
}
