//! What the scheduler takes from a task that has a CPU for itself.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Scheduler, Remedy, Severity},
        rule,
        shell::spaced,
    },
    event::ids::Cpu,
    host::cpu_list::CpuSet,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[Check::Where(rt_throttling), Check::Where(fair_server)];

/// Realtime tasks may keep their CPU: not known, because the look itself has an effect. On 6.12.118 and
/// 7.2.12 a read of `sched_rt_runtime_us` rebuilds the scheduler's domains (`sched_rt_handler`,
/// kernel/sched/rt.c); on 6.12 that empties the account of deadline bandwidth, and the fair server can no
/// longer be switched off until the next boot.
///
/// From 6.12 on the fair server has taken the throttle's place, and the number only limits what may be
/// asked for, save with `CONFIG_RT_GROUP_SCHED`: the throttle of groups, the root's among them, has stayed
/// (`sched_rt_period_timer`, kernel/sched/rt.c, 6.12).
fn rt_throttling(facts: &Facts) -> Option<Finding> {
    let config = facts.config.known();
    let has_groups = config.is_some_and(|config| config.has("RT_GROUP_SCHED"));
    if facts.is_from(6, 12)? && !has_groups {
        return None;
    }
    let why = "whether realtime tasks are throttled is in /proc/sys/kernel/sched_rt_runtime_us, and isol-trace does not read it, because on some kernels (6.12 and 7.2 are among them) a read rebuilds the scheduler's domains";
    let look = Remedy::Change(
        "Where a realtime task here never sleeps, look with `sysctl kernel.sched_rt_runtime_us` while nothing critical runs. With -1 it keeps its CPU; with any other number it loses it for the rest of each second, and `sysctl -w kernel.sched_rt_runtime_us=-1` ends that."
            .to_owned(),
    );
    let finding = Finding::unseen("rt-throttling", Scheduler, why, look);
    if facts.is_from(6, 12)? {
        return Some(finding.change("Switch the fair server off before that: on Linux 6.12 a read makes it impossible until the next boot."));
    }
    Some(finding)
}

/// The fair server does not kick the watched CPUs. It came with 6.12, where its timer was seen to
/// kick a lone task once a second. On 6.18 a lone task was seen to keep its tick: a queued server forbids to
/// stop it (`sched_can_stop_tick`, kernel/sched/core.c, 6.12, `dl_nr_running`), and that is asked again
/// only when a task comes or goes (`sub_nr_running`, kernel/sched/sched.h). 7.2 and 7.3 were quiet: there the running task settles its time
/// before the timer looks at it (`dl_server_timer`, kernel/sched/deadline.c, 6.12 and 7.2). Of the
/// other kernels in between nothing is known.
fn fair_server(facts: &Facts) -> Option<Finding> {
    let id = "fair-server";
    if !facts.is_from(6, 12)? {
        return None;
    }
    let servers = &facts.scheduler.fair_server;
    if facts.is_from(7, 2)? {
        let summary = "The fair server of this kernel leaves a CPU with one task alone.";
        return Some(Finding::new(id, Scheduler, Severity::Fine, summary));
    }
    if servers.iter().any(|(_, runtime)| runtime.known().is_none()) {
        let why = "the fair server's settings are in /sys/kernel/debug/sched, which is not mounted or not readable here";
        let mount = Remedy::Run("mount -t debugfs none /sys/kernel/debug".to_owned());
        let finding = Finding::unseen(id, Scheduler, why, mount);
        let finding = finding.change("And run isol-trace as root.");
        return Some(finding.verify("grep . /sys/kernel/debug/sched/fair_server/cpu*/runtime"));
    }
    let mut here = CpuSet::new();
    for (Cpu(cpu), runtime) in servers {
        if runtime.known().is_some_and(|&runtime| runtime > 0) {
            // A CPU of a set fits a set.
            let _ = here.insert(Cpu(*cpu));
        }
    }
    if here.is_empty() {
        let summary = "The fair server is off on the watched CPUs.";
        return Some(Finding::new(id, Scheduler, Severity::Fine, summary));
    }
    let is_6_18 = facts.is_from(6, 18)? && !facts.is_from(6, 19)?;
    let (severity, sets, kicks) = if is_6_18 {
        (
            Severity::Defect,
            "sets",
            "on this kernel the tick goes on while one task runs",
        )
    } else if facts.is_from(6, 13)? {
        (
            Severity::Warning,
            "may set",
            "its timer on another CPU may kick the CPU once a second, as on Linux 6.12, or the tick go on while one task runs, as on 6.18",
        )
    } else {
        (
            Severity::Defect,
            "sets",
            "once a second its timer on another CPU kicks the CPU, and a tick follows",
        )
    };
    let summary = format!(
        "The fair server reserves time on {}, and {sets} a timer for it even when one task runs alone.",
        here.in_words()
    );
    // Another task on the CPU has the kernel ask again whether the tick may stop. Where a real-time task
    // never sleeps, it does not come to run, and nobody waits for it.
    let again = if facts.is_from(6, 13)? {
        "taskset -c $cpu true < /dev/null > /dev/null 2>&1 & "
    } else {
        ""
    };
    Some(
        Finding::new(id, Scheduler, severity, summary)
        .breach(rule::FAIR_SERVER, kicks)
        .run(format!(
            "for cpu in {}; do echo 0 > /sys/kernel/debug/sched/fair_server/cpu$cpu/runtime; {again}done",
            spaced(&here)
        ))
        .change("Or run Linux 7.2 or later. Without the server, realtime tasks can starve all others on these CPUs.")
        .verify("grep . /sys/kernel/debug/sched/fair_server/cpu*/runtime"),
    )
}
