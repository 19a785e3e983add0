//! Work and timers of the kernel that reach the watched CPUs.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Work, Severity},
        rule,
    },
    host::{cpu_list::CpuSet, cpu_mask, reading::Reading},
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::Where(unbound_work),
    Check::Where(lockup_watchdogs),
    Check::Where(vmstat),
    Check::Where(machine_checks),
    Check::Where(timer_migration),
];

/// Seconds between two folds of the CPUs' counters from which it is rare.
const RARELY: i64 = 60;

/// Unbound work runs elsewhere. A workqueue's own mask only ever narrows the mask of all
/// (`wqattrs_actualize_cpumask`, kernel/workqueue.c, 6.12).
fn unbound_work(facts: &Facts) -> Option<Finding> {
    let id = "unbound-workqueues";
    let all = match &facts.workqueues.all {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Work, why)),
        all => all.known()?,
    };
    let here = all & &facts.watched;
    if here.is_empty() {
        let summary = format!("Work that belongs to no CPU runs on {}.", all.in_words());
        return Some(Finding::new(id, Work, Severity::Fine, summary));
    }
    let spared: Vec<&str> = facts
        .workqueues
        .each
        .iter()
        .filter(|(_, own)| (own & &here).is_empty())
        .map(|(name, _)| name.as_str())
        .collect();
    let spared = if spared.is_empty() {
        String::new()
    } else {
        format!(", save that of {}", spared.join(", "))
    };
    let summary = format!(
        "Work that belongs to no CPU may run on {}{spared}.",
        here.in_words()
    );
    let finding = Finding::new(id, Work, Severity::Defect, summary)
        .breach(
            rule::UNBOUND_WORKQUEUE,
            "a kernel thread takes the CPU from the task for as long as the work lasts",
        )
        .run(format!(
            "echo {} > /sys/devices/virtual/workqueue/cpumask",
            cpu_mask::text(&facts.noise_takers())
        ));
    // 6.1 does not have the argument, 6.12 does. The other one works on both
    // (`workqueue_init_early`, kernel/workqueue.c).
    let finding = if facts.is_from(6, 12) == Some(true) {
        finding.boot(format!("workqueue.unbound_cpus={}", facts.noise_takers()))
    } else {
        finding.boot(facts.isolcpus())
    };
    Some(finding.verify("cat /sys/devices/virtual/workqueue/cpumask"))
}

/// No watchdog looks at the watched CPUs. The kernel leaves CPUs of `nohz_full=` out by default
/// (`lockup_detector_init`, kernel/watchdog.c, 6.12).
fn lockup_watchdogs(facts: &Facts) -> Option<Finding> {
    let id = "lockup-watchdogs";
    let dogs = &facts.lockup_watchdogs;
    let is_on = |dog: &Reading<i64>| dog.known().is_some_and(|&value| value != 0);
    let (nmi, soft) = (is_on(&dogs.nmi), is_on(&dogs.soft));
    if let Reading::Unreadable(why) = &dogs.cpus {
        return Some(Finding::unreadable(id, Work, why));
    }
    let here = dogs.cpus.known()? & &facts.watched;
    if !(nmi || soft) || here.is_empty() {
        let summary = "No lockup watchdog looks at the watched CPUs.";
        return Some(Finding::new(id, Work, Severity::Fine, summary));
    }
    let (which, rule, what) = match (nmi, soft) {
        (true, true) => (
            "The NMI watchdog and the soft one look",
            rule::NMI_PERF_COUNTER,
            "NMIs of a performance counter; a timer every few seconds, and a thread that it wakes",
        ),
        (true, false) => (
            "The NMI watchdog looks",
            rule::NMI_PERF_COUNTER,
            "NMIs of a performance counter, every few seconds while the task runs",
        ),
        _ => (
            "The soft lockup watchdog looks",
            rule::SOFT_LOCKUP_WATCHDOG,
            "a timer every few seconds, and a thread that it wakes",
        ),
    };
    Some(
        Finding::new(
            id,
            Work,
            Severity::Defect,
            format!("{which} at {}.", here.in_words()),
        )
        .breach(rule, what)
        .run(format!(
            "sysctl -w kernel.watchdog_cpumask={}",
            facts.noise_takers()
        ))
        .boot("nowatchdog")
        .verify("sysctl kernel.watchdog_cpumask"),
    )
}

/// The counters of the watched CPUs are not folded by work there: `vmstat_shepherd` leaves isolated
/// CPUs alone (mm/vmstat.c, from 6.5 on). Isolated were those of `nohz_full=` too until 7.2
/// (`cpu_is_isolated`, include/linux/sched/isolation.h).
fn vmstat(facts: &Facts) -> Option<Finding> {
    let id = "vmstat";
    let spared = match (facts.is_from(6, 5)?, facts.is_from(7, 2)?) {
        (false, _) => CpuSet::new(),
        (true, false) => &facts.tickless() | &facts.out_of_domains(),
        (true, true) => facts.out_of_domains(),
    };
    let here = &facts.watched - &spared;
    if here.is_empty() {
        let summary = "The kernel queues no work on the watched CPUs to collect memory statistics.";
        return Some(Finding::new(id, Work, Severity::Fine, summary));
    }
    let seconds = match &facts.memory.stat_interval {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Work, why)),
        interval => *interval.known()?,
    };
    let severity = if seconds >= RARELY {
        Severity::Note
    } else {
        Severity::Warning
    };
    let finding = Finding::new(
        id,
        Work,
        severity,
        format!(
            "Every {seconds} s the kernel may queue work on {} to collect the memory statistics (vmstat) there.",
            here.in_words()
        ),
    )
    .breach(
        rule::VMSTAT,
        "a kernel thread takes the CPU after each second in which the task used memory",
    );
    // Before, it asks nobody who is isolated.
    let finding = if facts.is_from(6, 5)? {
        finding.boot(facts.isolcpus())
    } else {
        finding
    };
    Some(
        finding
            .run("sysctl -w vm.stat_interval=3600")
            .verify("sysctl vm.stat_interval"),
    )
}

/// Nobody polls for machine checks. Each CPU has a timer of its own for it
/// (`mce_start_timer`, arch/x86/kernel/cpu/mce/core.c, 6.12).
fn machine_checks(facts: &Facts) -> Option<Finding> {
    let id = "machine-check-poll";
    let seconds = match &facts.machine_check_interval {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Work, why)),
        interval => *interval.known()?,
    };
    if seconds == 0 {
        let summary = "No CPU polls for machine checks.";
        return Some(Finding::new(id, Work, Severity::Fine, summary));
    }
    Some(
        Finding::new(
            id,
            Work,
            Severity::Warning,
            format!("Every CPU looks for silent machine checks every {seconds} s."),
        )
        .breach(
            rule::MCE_POLLING,
            "a timer of the CPU reads the machine-check banks, more often after each error",
        )
        .run("echo 0 > /sys/devices/system/machinecheck/machinecheck0/check_interval")
        .boot("mce=ignore_ce")
        .verify("cat /sys/devices/system/machinecheck/machinecheck0/check_interval"),
    )
}

/// Timers may leave the CPU that armed them: else `get_nohz_timer_target` is not asked
/// (kernel/time/timer.c and hrtimer.c, 6.12). They leave a busy CPU only where that is in
/// `nohz_full=` (`get_nohz_timer_target`, kernel/sched/core.c, 6.12), from 7.2 on also where no
/// scheduler domain spans it (`kernel/time/timer_migration.c`).
fn timer_migration(facts: &Facts) -> Option<Finding> {
    let id = "timer-migration";
    let leaving = if facts.is_from(7, 2) == Some(true) {
        &facts.tickless() | &facts.out_of_domains()
    } else {
        facts.tickless()
    };
    let staying = &facts.watched - &leaving;
    match &facts.scheduler.timer_migration {
        Reading::Unreadable(why) => Some(Finding::unreadable(id, Work, why)),
        Reading::Absent => None,
        Reading::Known(0) => Some(
            Finding::new(
                id,
                Work,
                Severity::Warning,
                "Timers stay on the CPU that armed them.",
            )
            .breach(
                rule::TIMER_MIGRATION,
                "what a task of a watched CPU arms in a system call expires on that CPU",
            )
            .run("sysctl -w kernel.timer_migration=1")
            .verify("sysctl kernel.timer_migration"),
        ),
        Reading::Known(_) if staying.is_empty() => Some(Finding::new(
            id,
            Work,
            Severity::Fine,
            "Timers of the watched CPUs may move to a housekeeping CPU.",
        )),
        Reading::Known(_) => Some(staying_timers(facts, id, &staying)),
    }
}

/// Timers that may leave their CPU, and do not leave these.
fn staying_timers(facts: &Facts, id: &'static str, cpus: &CpuSet) -> Finding {
    let summary = format!(
        "Timers may move, and stay on {} all the same: a busy CPU gives them away only where it is in nohz_full=.",
        cpus.in_words()
    );
    let finding = Finding::new(id, Work, Severity::Warning, summary).breach(
        rule::TIMER_MIGRATION,
        "what a task of a watched CPU arms in a system call expires on that CPU",
    );
    let asked = facts.boot.known().and_then(|boot| boot.cpus("nohz_full"));
    let is_asked = (cpus - &asked.unwrap_or_default()).is_empty();
    let finding = if facts.nohz_full == Reading::Absent || is_asked {
        finding.change("Mend what nohz-full tells of.")
    } else {
        finding.boot(format!("nohz_full={}", facts.to_isolate()))
    };
    finding.verify("cat /sys/devices/system/cpu/nohz_full")
}
