//! Settings of the scheduler, of timers and of the watchdogs.

use super::{Host, cpu_list::CpuSet, reading::Reading};
use crate::event::ids::Cpu;

const KERNEL: &str = "/proc/sys/kernel";

/// Settings of scheduler and timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// Whether timers may leave the CPU that armed them.
    pub timer_migration: Reading<i64>,
    /// Nanoseconds of each period that are kept for fair tasks, of each watched CPU.
    pub fair_server: Vec<(Cpu, Reading<i64>)>,
}

/// The watchdogs that look for lockups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockupWatchdogs {
    /// The one that NMIs serve; absent where it was not asked for.
    pub nmi: Reading<i64>,
    /// The one that a timer of each CPU serves; absent where it was not asked for.
    pub soft: Reading<i64>,
    /// CPUs that they watch.
    pub cpus: Reading<CpuSet>,
}

impl Host {
    /// Reads the settings of scheduler and timers.
    ///
    /// `sched_rt_runtime_us` is left out. Its handler rebuilds the scheduler's domains for reads as
    /// well (`sched_rt_handler`, kernel/sched/rt.c, 6.12.118 and 7.2.12; 6.1.192 does not).
    #[must_use]
    pub fn scheduler(&self, watched: &CpuSet) -> Scheduler {
        let fair_server = |cpu: Cpu| {
            let path = format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime");
            (cpu, self.number(&path))
        };
        Scheduler {
            timer_migration: self.number(&format!("{KERNEL}/timer_migration")),
            fair_server: watched.iter().map(fair_server).collect(),
        }
    }

    /// Reads the settings of the lockup watchdogs, as far as they look at the `watched` CPUs.
    ///
    /// Whoever reads whether one is on changes what `kernel.watchdog` switches: the kernel then takes what that one
    /// does at the moment for what was asked of it, so that one which is off because all are does not come back with
    /// them (`proc_watchdog_common`, kernel/watchdog.c, v6.12). So none is asked for where all are off, and the switch of
    /// all only where they look at a watched CPU.
    #[must_use]
    pub fn lockup_watchdogs(&self, watched: &CpuSet) -> LockupWatchdogs {
        let cpus = self.cpu_list(&format!("{KERNEL}/watchdog_cpumask"));
        let looks_here = |cpus: &CpuSet| !(cpus & watched).is_empty();
        let are_on = cpus.known().is_some_and(looks_here)
            && self.number(&format!("{KERNEL}/watchdog")).known() != Some(&0);
        let switch = |name: &str| {
            if are_on {
                self.number(&format!("{KERNEL}/{name}"))
            } else {
                Reading::Absent
            }
        };
        LockupWatchdogs {
            nmi: switch("nmi_watchdog"),
            soft: switch("soft_watchdog"),
            cpus,
        }
    }

    /// Seconds between two looks of each CPU for silent machine checks; 0: never. What one CPU
    /// shows is the setting of all (`dev_attr_check_interval`, arch/x86/kernel/cpu/mce/core.c, 6.12).
    #[must_use]
    pub fn machine_check_interval(&self) -> Reading<i64> {
        let folder = "/sys/devices/system/machinecheck";
        let names = self.names(folder);
        let Some(name) = names.iter().find(|name| name.starts_with("machinecheck")) else {
            return Reading::Absent;
        };
        if self.number(&format!("{folder}/{name}/ignore_ce")).known() == Some(&1) {
            return Reading::Known(0);
        }
        self.number(&format!("{folder}/{name}/check_interval"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::Tree;

    #[test]
    fn settings_are_read() {
        let tree = Tree::new()
            .file("/proc/sys/kernel/timer_migration", "1")
            .file(
                "/sys/kernel/debug/sched/fair_server/cpu2/runtime",
                "50000000",
            );
        let host = tree.host();
        let found = host.scheduler(&"1-2".parse().unwrap());
        assert_eq!(found.timer_migration, Reading::Known(1));
        assert_eq!(
            found.fair_server,
            [
                (Cpu(1), Reading::Absent),
                (Cpu(2), Reading::Known(50_000_000))
            ]
        );
    }

    /// To ask changes what the kernel takes for asked.
    #[test]
    fn watchdogs_that_look_elsewhere_or_are_off_are_not_asked_for() {
        let found = |cpus, all| {
            let tree = Tree::new()
                .file("/proc/sys/kernel/nmi_watchdog", "0")
                .file("/proc/sys/kernel/soft_watchdog", "1")
                .file("/proc/sys/kernel/watchdog", all)
                .file("/proc/sys/kernel/watchdog_cpumask", cpus);
            let found = tree.host().lockup_watchdogs(&"1-2".parse().unwrap());
            assert_eq!(found.cpus.known().unwrap().to_string(), cpus);
            (found.nmi, found.soft)
        };
        let not_asked = (Reading::Absent, Reading::Absent);
        assert_eq!(found("0,3", "1"), not_asked);
        assert_eq!(found("0-3", "0"), not_asked);
        assert_eq!(found("0-3", "1"), (Reading::Known(0), Reading::Known(1)));
    }

    #[test]
    fn machine_checks_may_be_ignored() {
        let folder = "/sys/devices/system/machinecheck/machinecheck0";
        let tree = Tree::new().file(&format!("{folder}/check_interval"), "300");
        assert_eq!(tree.host().machine_check_interval(), Reading::Known(300));
        let tree = tree.file(&format!("{folder}/ignore_ce"), "1");
        assert_eq!(tree.host().machine_check_interval(), Reading::Known(0));
        assert_eq!(Tree::new().host().machine_check_interval(), Reading::Absent);
    }
}
