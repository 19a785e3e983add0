//! The tracer, clocks, limits and hardware checks.

use super::{
    super::build::{call, calls, nmi, on, resched, sender, timer},
    Case, case,
};
use crate::event::model::{Activity, Breach, Cause, Origin, Via};

/// A cross-call by the tracer, whatever it ran.
fn tracer_call() -> Breach {
    let mut breach = call().did(Activity::Csd, "ipi_mb");
    let sender = sender(Via::CrossCall, Some("ipi_mb"), &[]);
    breach.origins = vec![Origin::Tracer(sender)];
    breach
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "tracer",
            tracer_call(),
            call().did(Activity::Csd, "ipi_mb").asked("ipi_mb", &[]),
            Some("membarrier"),
        ),
        case(
            "clocksource-watchdog",
            timer()
                .did(Activity::Softirq, "TIMER")
                .did(Activity::Timer, "clocksource_watchdog"),
            timer()
                .did(Activity::Softirq, "TIMER")
                .did(Activity::Timer, "clocksource_watchdog_work"),
            Some("timer-migration"),
        ),
        case(
            "clocksource-watchdog",
            call().asked(
                "nohz_full_kick_func",
                &[
                    "irq_work_queue_on",
                    "tick_nohz_full_kick_cpu",
                    "add_timer_on",
                    "clocksource_watchdog",
                    "call_timer_fn",
                ],
            ),
            call().asked(
                "nohz_full_kick_func",
                &["irq_work_queue_on", "add_timer_on", "neigh_timer_handler"],
            ),
            Some("timer-migration"),
        ),
        case(
            "clocksource-skew-check",
            call().did(Activity::Csd, "clocksource_verify_one_cpu"),
            call().did(Activity::Csd, "remote_function"),
            Some("perf-event"),
        ),
        case(
            "clocksource-skew-check",
            call().asked("watchdog_check_skew_remote", &["clocksource_watchdog"]),
            call().asked("nohz_full_kick_func", &[]),
            Some("nohz-kick"),
        ),
        case(
            "tsc-adjust-check",
            timer()
                .did(Activity::Softirq, "TIMER")
                .did(Activity::Timer, "tsc_sync_check_timer_fn"),
            timer().did(Activity::Hrtimer, "tsc_sync_check_timer_fn"),
            Some("timer-migration"),
        ),
        case(
            "clock-set",
            calls().did(Activity::Csd, "retrigger_next_event"),
            timer().did(Activity::Hrtimer, "retrigger_next_event"),
            Some("timer-migration"),
        ),
        case(
            "fair-server",
            resched().woken(&["resched_curr", "dl_task_timer", "__hrtimer_run_queues"]),
            resched().woken(&["resched_curr", "ttwu_do_activate", "try_to_wake_up"]),
            Some("reschedule"),
        ),
        case(
            "fair-server",
            timer()
                .did(Activity::Hrtimer, "dl_task_timer")
                .did(Activity::Tick, "SCHED"),
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "SCHED"),
            Some("tick-sched"),
        ),
        case(
            "rt-throttling",
            timer().did(Activity::Hrtimer, "sched_rt_period_timer"),
            timer().did(Activity::Hrtimer, "sched_cfs_period_timer"),
            Some("cfs-bandwidth"),
        ),
        case(
            "cfs-bandwidth",
            timer().did(Activity::Hrtimer, "sched_cfs_period_timer"),
            timer().did(Activity::Hrtimer, "sched_rt_period_timer"),
            Some("rt-throttling"),
        ),
        case(
            "soft-lockup-watchdog",
            timer().did(Activity::Hrtimer, "watchdog_timer_fn"),
            timer().did(Activity::Hrtimer, "hrtimer_wakeup"),
            Some("own-timer"),
        ),
        case(
            "nmi-perf-counter",
            nmi("perf_event_nmi_handler"),
            nmi("nmi_cpu_backtrace_handler"),
            Some("nmi-backtrace"),
        ),
        case(
            "nmi-backtrace",
            nmi("nmi_cpu_backtrace_handler"),
            nmi("ghes_notify_nmi"),
            None,
        ),
        case(
            "mce-polling",
            timer()
                .did(Activity::Softirq, "TIMER")
                .did(Activity::Timer, "mce_timer_fn"),
            on(Cause::Threshold).did(Activity::Timer, "mce_timer_fn"),
            Some("corrected-errors"),
        ),
        case(
            "corrected-errors",
            on(Cause::Threshold),
            on(Cause::Thermal),
            Some("thermal"),
        ),
        case(
            "thermal",
            on(Cause::Thermal),
            on(Cause::DeferredError),
            Some("corrected-errors"),
        ),
    ]
}
