//! The tick, timers and softirqs.

use super::{
    super::build::{device, resched, timer},
    Case, case,
};
use crate::event::model::Activity;

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "own-timer",
            timer().did(Activity::Hrtimer, "posix_timer_fn"),
            timer()
                .did(Activity::Softirq, "TIMER")
                .did(Activity::Timer, "process_timeout"),
            Some("timer-migration"),
        ),
        case(
            "tick-posix-timer",
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "POSIX_TIMER"),
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "PERF_EVENTS"),
            Some("tick-perf"),
        ),
        case(
            "tick-perf",
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "PERF_EVENTS"),
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "RCU"),
            Some("tick-rcu"),
        ),
        case(
            "tick-rcu",
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "RCU_EXP"),
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "CLOCK_UNSTABLE"),
            Some("tick-clock-unstable"),
        ),
        case(
            "tick-clock-unstable",
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "CLOCK_UNSTABLE"),
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "0x40"),
            Some("residual-tick"),
        ),
        case(
            "tick-sched",
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "SCHED"),
            timer()
                .did(Activity::Tick, "tick_nohz_handler")
                .did(Activity::Tick, "POSIX_TIMER|SCHED"),
            Some("tick-posix-timer"),
        ),
        case(
            "packet-timer",
            timer()
                .did(Activity::Hrtimer, "qdisc_watchdog")
                .did(Activity::Softirq, "NET_TX"),
            timer().did(Activity::Hrtimer, "qdisc_other"),
            Some("timer-migration"),
        ),
        case(
            "timer-migration",
            timer()
                .did(Activity::Softirq, "TIMER")
                .did(Activity::Timer, "neigh_timer_handler"),
            resched().did(Activity::Timer, "neigh_timer_handler"),
            Some("reschedule"),
        ),
        case(
            "residual-tick",
            timer().did(Activity::Tick, "tick_nohz_handler"),
            timer(),
            Some("timer-gone"),
        ),
        case(
            "timer-gone",
            timer(),
            timer().did(Activity::Softirq, "TIMER"),
            None,
        ),
        case(
            "timer-gone",
            timer().did(Activity::Softirq, "HRTIMER"),
            timer()
                .did(Activity::Softirq, "HRTIMER")
                .did(Activity::Hrtimer, "hrtimer_wakeup"),
            Some("own-timer"),
        ),
        case(
            "rcu-softirq",
            resched().did(Activity::Softirq, "RCU"),
            resched().switched("rcuop/1").did(Activity::Softirq, "RCU"),
            Some("rcu-callbacks"),
        ),
        case(
            "load-balance",
            timer().did(Activity::Softirq, "SCHED"),
            timer().did(Activity::Softirq, "TIMER"),
            None,
        ),
        case(
            "net-softirq",
            timer().did(Activity::Softirq, "NET_TX"),
            device("eth0", "e1000_intr").did(Activity::Softirq, "NET_RX"),
            Some("device-irq"),
        ),
        case(
            "softirq",
            timer().did(Activity::Softirq, "TASKLET"),
            timer().did(Activity::Softirq, "HRTIMER"),
            Some("timer-gone"),
        ),
    ]
}
