//! Who shares a core with a CPU, how it changes its frequency, and how it idles.
//!
//! Only settings are read. The current frequency (`scaling_cur_freq`, `/proc/cpuinfo`) is not:
//! the kernel may interrupt the CPU to learn it (`drv_read`, drivers/cpufreq/acpi-cpufreq.c, 6.12;
//! before 6.1 also `aperfmperf_snapshot_khz`, arch/x86/kernel/cpu/aperfmperf.c).

use std::collections::BTreeSet;

use super::{Host, cpu_list::CpuSet, reading::Reading};
use crate::event::ids::Cpu;

const FOLDER: &str = "/sys/devices/system/cpu";

/// A CPU's surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSettings {
    /// Which.
    pub cpu: Cpu,
    /// CPUs of the same core, itself included.
    pub siblings: Reading<CpuSet>,
    /// What decides its frequency.
    pub governor: Reading<String>,
    /// The driver that sets it.
    pub driver: Reading<String>,
    /// Idle states that may be entered.
    pub idle: Vec<IdleState>,
}

/// An idle state that is not disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleState {
    /// Its name.
    pub name: String,
    /// Microseconds to leave it.
    pub latency_us: i64,
}

impl Host {
    /// Reads the settings of some CPUs.
    #[must_use]
    pub fn cpu_settings(&self, cpus: &CpuSet) -> Vec<CpuSettings> {
        let word = |path: String| self.reading(&path, |text| Some(text.to_owned()));
        cpus.iter()
            .map(|cpu| CpuSettings {
                cpu,
                siblings: self
                    .cpu_list(&format!("{FOLDER}/cpu{cpu}/topology/thread_siblings_list")),
                governor: word(format!("{FOLDER}/cpu{cpu}/cpufreq/scaling_governor")),
                driver: word(format!("{FOLDER}/cpu{cpu}/cpufreq/scaling_driver")),
                idle: self.idle_states(cpu),
            })
            .collect()
    }

    fn idle_states(&self, cpu: Cpu) -> Vec<IdleState> {
        let folder = format!("{FOLDER}/cpu{cpu}/cpuidle");
        let state = |state: String| {
            let path = format!("{folder}/{state}");
            let disabled = self.number(&format!("{path}/disable"));
            let latency = self.number(&format!("{path}/latency"));
            let name = self.reading(&format!("{path}/name"), |text| Some(text.to_owned()));
            (disabled.known() != Some(&1)).then_some(IdleState {
                name: name.known()?.clone(),
                latency_us: *latency.known()?,
            })
        };
        self.names(&folder).into_iter().filter_map(state).collect()
    }

    /// How many packages the CPUs are in; `None` where the kernel does not say.
    #[must_use]
    pub fn packages(&self, cpus: &CpuSet) -> Option<usize> {
        let package = |cpu| {
            self.number(&format!("{FOLDER}/cpu{cpu}/topology/physical_package_id"))
                .known()
                .copied()
        };
        let packages: Option<BTreeSet<i64>> = cpus.iter().map(package).collect();
        packages.map(|packages| packages.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::Tree;

    #[test]
    fn settings_of_a_cpu_are_read() {
        let cpu = "/sys/devices/system/cpu/cpu1";
        let tree = Tree::new()
            .file(&format!("{cpu}/topology/thread_siblings_list"), "1,3")
            .file(&format!("{cpu}/topology/physical_package_id"), "0")
            .file(&format!("{cpu}/cpufreq/scaling_governor"), "performance")
            .file(&format!("{cpu}/cpuidle/state0/name"), "POLL")
            .file(&format!("{cpu}/cpuidle/state0/latency"), "0")
            .file(&format!("{cpu}/cpuidle/state1/name"), "C6")
            .file(&format!("{cpu}/cpuidle/state1/latency"), "133")
            .file(&format!("{cpu}/cpuidle/state1/disable"), "1")
            .folder("/sys/devices/system/cpu/cpu2");
        let host = tree.host();
        let found = host.cpu_settings(&"1-2".parse().unwrap());
        assert_eq!(found[0].siblings.known().unwrap().to_string(), "1,3");
        assert_eq!(found[0].governor, Reading::Known("performance".to_owned()));
        let names: Vec<_> = found[0].idle.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["POLL"], "a disabled state is not entered");
        assert_eq!(found[1].governor, Reading::Absent);
        assert_eq!(host.packages(&"1".parse().unwrap()), Some(1));
        assert_eq!(host.packages(&"1-2".parse().unwrap()), None);
    }
}
