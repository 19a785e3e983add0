//! Causes that only the oldest kernel of the tests lets be made: later ones leave isolated CPUs alone.

use std::time::Duration;

use super::{Cause, Kept, busy::Busy, causes::keep, network};
use crate::truth::{
    guest::{Guest, Setting},
    sys,
};

/// Every cause.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        rule: "vmstat",
        test: "remedy_vmstat",
        about: "the counters of a CPU are folded once an hour",
        prepare: |guest| {
            let often = Setting::change("/proc/sys/vm/stat_interval", "1")?;
            Ok(keep((often, Busy::touching(guest.cpu())?)))
        },
    },
    Cause {
        rule: "rt-throttling",
        test: "remedy_rt_throttling",
        about: "the budget of real-time tasks has no limit",
        prepare: limited,
    },
    Cause {
        rule: "timer-migration",
        test: "remedy_timer_migration",
        about: "timers of the kernel leave the CPU that armed them",
        prepare: network::kept_alive,
    },
];

/// A thread that is a real-time task from time to time: it enters the class on its own CPU, which arms the
/// timer there (`start_rt_bandwidth`, kernel/sched/rt.c, v6.1).
fn limited(guest: &Guest) -> anyhow::Result<Kept> {
    let limit = Setting::change("/proc/sys/kernel/sched_rt_runtime_us", "950000")?;
    let busy = Busy::on(guest.cpu(), Duration::from_millis(100), || {
        // What is refused makes no breach, and that is said.
        let _ = sys::set_policy(0, libc::SCHED_FIFO, 1);
        sys::spin(Duration::from_millis(20));
        let _ = sys::set_policy(0, libc::SCHED_OTHER, 0);
    })?;
    Ok(keep((limit, busy)))
}
