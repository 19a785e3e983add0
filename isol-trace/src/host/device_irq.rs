//! Devices' interrupts: which CPUs each may interrupt, and which it does.

use std::os::unix::fs::PermissionsExt as _;

use super::{Host, cpu_list::CpuSet, reading::Reading};

const FOLDER: &str = "/proc/irq";

/// One interrupt that a driver handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIrq {
    /// Its number.
    pub number: u32,
    /// Its drivers, as the kernel names them.
    pub drivers: String,
    /// CPUs that it may be delivered to.
    pub allowed: Reading<CpuSet>,
    /// CPUs that it is delivered to; absent on kernels and chips that do not tell.
    pub effective: Reading<CpuSet>,
    /// Whether its affinity can be set. Where it cannot, the kernel manages it for its driver, or
    /// its chip cannot move it. Until 6.12 the kernel shows every interrupt as settable
    /// (`register_irq_proc`, kernel/irq/proc.c), and a write to a managed one fails with `EIO`.
    pub is_settable: bool,
}

impl DeviceIrq {
    /// Where it goes: where it is delivered to, or else where it may be.
    #[must_use]
    pub fn targets(&self) -> Option<&CpuSet> {
        self.effective
            .known()
            .filter(|cpus| !cpus.is_empty())
            .or_else(|| self.allowed.known())
    }
}

impl Host {
    /// Every interrupt that has a driver, save those that each CPU has for itself.
    #[must_use]
    pub fn device_irqs(&self) -> Vec<DeviceIrq> {
        self.numbers(FOLDER)
            .into_iter()
            .filter_map(|number| self.device_irq(number))
            .collect()
    }

    /// CPUs that interrupts go to which nothing else is said of.
    #[must_use]
    pub fn default_irq_affinity(&self) -> Reading<CpuSet> {
        self.cpu_mask(&format!("{FOLDER}/default_smp_affinity"))
    }

    fn device_irq(&self, number: u32) -> Option<DeviceIrq> {
        let folder = format!("{FOLDER}/{number}");
        let drivers = self.drivers(number, &folder);
        if drivers.is_empty() || self.is_per_cpu(number) {
            return None;
        }
        let allowed = format!("{folder}/smp_affinity_list");
        Some(DeviceIrq {
            number,
            drivers,
            is_settable: self
                .path(&allowed)
                .metadata()
                .is_ok_and(|file| file.permissions().mode() & 0o200 != 0),
            allowed: self.cpu_list(&allowed),
            effective: self.cpu_list(&format!("{folder}/effective_affinity_list")),
        })
    }

    /// Who handles an interrupt. Each handler has a folder of its name too, where the file that
    /// names them (`CONFIG_SPARSE_IRQ`) is missing.
    fn drivers(&self, number: u32, folder: &str) -> String {
        let actions = format!("/sys/kernel/irq/{number}/actions");
        match self.reading(&actions, |text| Some(text.to_owned())) {
            Reading::Known(names) if names != "(null)" => names,
            Reading::Known(_) => String::new(),
            Reading::Absent | Reading::Unreadable(_) => self
                .names(folder)
                .into_iter()
                .filter(|name| self.path(&format!("{folder}/{name}")).is_dir())
                .collect::<Vec<_>>()
                .join(","),
        }
    }

    /// Whether each CPU has this interrupt for itself, as arm64's timers do: with an ARM GIC,
    /// hardware numbers below 32 (Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml).
    fn is_per_cpu(&self, number: u32) -> bool {
        let folder = format!("/sys/kernel/irq/{number}");
        let chip = self.reading(&format!("{folder}/chip_name"), |text| Some(text.to_owned()));
        let hardware = self.number(&format!("{folder}/hwirq"));
        chip.known().is_some_and(|chip| chip.starts_with("GIC"))
            && hardware.known().is_some_and(|&number| number < 32)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::tests::Tree;

    #[test]
    fn interrupts_have_drivers_and_targets() {
        let tree = Tree::new()
            .file("/proc/irq/24/smp_affinity_list", "0-3")
            .file("/proc/irq/24/effective_affinity_list", "2")
            .file("/sys/kernel/irq/24/actions", "eth0-rx-0")
            .file("/proc/irq/9/smp_affinity_list", "0-1")
            .folder("/proc/irq/9/acpi")
            .file("/proc/irq/25/smp_affinity_list", "0-3")
            .file("/sys/kernel/irq/25/actions", "")
            .file("/proc/irq/default_smp_affinity", "b");
        let path = tree.host().path("/proc/irq/9/smp_affinity_list");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let irqs = tree.host().device_irqs();
        let names: Vec<_> = irqs
            .iter()
            .map(|irq| (irq.number, irq.drivers.as_str()))
            .collect();
        assert_eq!(names, [(9, "acpi"), (24, "eth0-rx-0")]);
        assert_eq!(irqs[0].targets().unwrap().to_string(), "0-1");
        assert_eq!(irqs[1].targets().unwrap().to_string(), "2");
        assert!(!irqs[0].is_settable && irqs[1].is_settable);
        let default = tree.host().default_irq_affinity();
        assert_eq!(default.known().unwrap().to_string(), "0-1,3");
    }

    #[test]
    fn interrupts_of_each_cpu_are_left_out() {
        let irq = |hwirq| {
            Tree::new()
                .file("/proc/irq/11/smp_affinity_list", "0-3")
                .file("/sys/kernel/irq/11/actions", "arch_timer")
                .file("/sys/kernel/irq/11/chip_name", "GICv3")
                .file("/sys/kernel/irq/11/hwirq", hwirq)
        };
        assert_eq!(irq("27").host().device_irqs(), []);
        assert_eq!(irq("33").host().device_irqs().len(), 1);
    }
}
