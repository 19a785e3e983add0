//! Devices' interrupts: which CPUs each may interrupt, and which it does.

use std::os::unix::fs::PermissionsExt as _;

use super::{Host, cpu_list::CpuSet, reading::Reading, release::Release};

const FOLDER: &str = "/proc/irq";

/// One file for each interrupt, with its flags by name (kernel/irq/debugfs.c, 6.1 to 7.3; only with
/// `CONFIG_GENERIC_IRQ_DEBUGFS`). Reading one takes a lock and asks no CPU.
const DEBUG_FOLDER: &str = "/sys/kernel/debug/irq/irqs";

/// The flag of an interrupt that the kernel manages.
const MANAGED: &str = "IRQD_AFFINITY_MANAGED";

/// Who decides which CPUs an interrupt goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// User space may.
    User,
    /// The kernel does, for its driver.
    Managed,
    /// Nobody can: its chip cannot move it, or its driver forbids it.
    Fixed,
    /// Not user space; whether it is managed or fixed is not shown.
    NotUser,
    /// User space may, unless it is managed, which this kernel does not show.
    Unknown,
}

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
    /// Who decides where it goes.
    pub steering: Steering,
}

impl DeviceIrq {
    /// Whether user space may move it, as far as is known.
    #[must_use]
    pub const fn is_settable(&self) -> bool {
        matches!(self.steering, Steering::User | Steering::Unknown)
    }

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
    pub fn device_irqs(&self, release: Option<Release>) -> Vec<DeviceIrq> {
        // From then on only what user space may move has files that can be written to
        // (`register_irq_proc`, kernel/irq/proc.c; commit c7718e5c76d4, read in 6.12.117). Before,
        // every interrupt has, and a write for a managed one fails with `EIO`.
        let files_tell = release >= Some(Release(6, 12));
        self.numbers(FOLDER)
            .into_iter()
            .filter_map(|number| self.device_irq(number, files_tell))
            .collect()
    }

    /// CPUs that interrupts go to which nothing else is said of.
    #[must_use]
    pub fn default_irq_affinity(&self) -> Reading<CpuSet> {
        self.cpu_mask(&format!("{FOLDER}/default_smp_affinity"))
    }

    fn device_irq(&self, number: u32, files_tell: bool) -> Option<DeviceIrq> {
        let folder = format!("{FOLDER}/{number}");
        let drivers = self.drivers(number, &folder);
        if drivers.is_empty() || self.is_per_cpu(number) {
            return None;
        }
        let allowed = format!("{folder}/smp_affinity_list");
        Some(DeviceIrq {
            number,
            drivers,
            steering: self.steering(number, &allowed, files_tell),
            allowed: self.cpu_list(&allowed),
            effective: self.cpu_list(&format!("{folder}/effective_affinity_list")),
        })
    }

    fn steering(&self, number: u32, allowed: &str, files_tell: bool) -> Steering {
        let is_writable = self
            .path(allowed)
            .metadata()
            .is_ok_and(|file| file.permissions().mode() & 0o200 != 0);
        let flags = self.reading(&format!("{DEBUG_FOLDER}/{number}"), |text| {
            Some(text.lines().any(|line| line.trim_ascii() == MANAGED))
        });
        match (flags.known(), is_writable) {
            (Some(true), _) => Steering::Managed,
            (Some(false), true) => Steering::User,
            // Where the files of managed ones can be written to, so can those of the others.
            (Some(false), false) => Steering::Fixed,
            (None, false) => Steering::NotUser,
            (None, true) if files_tell => Steering::User,
            (None, true) => Steering::Unknown,
        }
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
        let irqs = tree.host().device_irqs(Some(Release(6, 12)));
        let names: Vec<_> = irqs
            .iter()
            .map(|irq| (irq.number, irq.drivers.as_str()))
            .collect();
        assert_eq!(names, [(9, "acpi"), (24, "eth0-rx-0")]);
        assert_eq!(irqs[0].targets().unwrap().to_string(), "0-1");
        assert_eq!(irqs[1].targets().unwrap().to_string(), "2");
        assert_eq!(irqs[0].steering, Steering::NotUser);
        assert_eq!(irqs[1].steering, Steering::User);
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
        assert_eq!(irq("27").host().device_irqs(None), []);
        assert_eq!(irq("33").host().device_irqs(None).len(), 1);
    }

    #[test]
    fn who_steers_is_known_by_the_flags_or_by_the_files() {
        let steering = |release, mode, flags: Option<&str>| {
            let mut tree = Tree::new()
                .file("/proc/irq/30/smp_affinity_list", "2")
                .file("/sys/kernel/irq/30/actions", "nvme0q3");
            if let Some(flags) = flags {
                let text = format!("handler:  handle_edge_irq\ndstate:   0x1\n{flags}");
                tree = tree.file("/sys/kernel/debug/irq/irqs/30", &text);
            }
            let path = tree.host().path("/proc/irq/30/smp_affinity_list");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            tree.host().device_irqs(release)[0].steering
        };
        let (old, new) = (Some(Release(6, 1)), Some(Release(6, 12)));
        let managed = Some("            IRQD_LEVEL\n            IRQD_AFFINITY_MANAGED");
        let other = Some("            IRQD_LEVEL\n            IRQD_MANAGED_SHUTDOWN");
        for release in [old, new, None] {
            assert_eq!(steering(release, 0o644, managed), Steering::Managed);
            assert_eq!(steering(release, 0o444, managed), Steering::Managed);
            assert_eq!(steering(release, 0o644, other), Steering::User);
            assert_eq!(steering(release, 0o444, other), Steering::Fixed);
            assert_eq!(steering(release, 0o444, None), Steering::NotUser);
        }
        assert_eq!(steering(new, 0o644, None), Steering::User);
        assert_eq!(steering(old, 0o644, None), Steering::Unknown);
        assert_eq!(steering(None, 0o644, None), Steering::Unknown);
    }
}
