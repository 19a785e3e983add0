//! The kernel's clock, and whether it is checked against another.

use std::collections::BTreeSet;

use super::{Host, cpu_list::CpuSet, reading::Reading};

const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";

/// Numbers of x86 CPU features (arch/x86/include/asm/cpufeatures.h, the same from 5.15 to 6.18).
const CONSTANT_TSC: u32 = 3 * 32 + 8;
const TSC_RELIABLE: u32 = 3 * 32 + 23;
const NONSTOP_TSC: u32 = 3 * 32 + 24;
const TSC_ADJUST: u32 = 9 * 32 + 1;

/// The kernel's clock sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The one in use.
    pub current: Reading<String>,
    /// All that could be.
    pub available: Reading<Vec<String>>,
    /// Whether the kernel trusts the TSC without checking it, as far as the CPU's features tell;
    /// `None` where they cannot be read.
    pub trusts_tsc: Option<bool>,
    /// Whether the kernel looks at the register `TSC_ADJUST` now and then, as far as the CPU's
    /// features tell; `None` where they cannot be read.
    pub checks_tsc_adjust: Option<bool>,
}

impl Host {
    /// Reads the clock sources.
    pub fn clock(&self, online: &CpuSet) -> Clock {
        let words = |text: &str| Some(text.split_ascii_whitespace().map(str::to_owned).collect());
        let features = self.reading("/sys/devices/system/cpu/modalias", x86_features);
        let features = features.known();
        Clock {
            current: self.reading(&format!("{FOLDER}/current_clocksource"), |text| {
                Some(text.to_owned())
            }),
            available: self.reading(&format!("{FOLDER}/available_clocksource"), words),
            trusts_tsc: features.and_then(|features| self.trusts_tsc(features, online)),
            checks_tsc_adjust: features.map(|features| {
                features.contains(&TSC_ADJUST) && !features.contains(&TSC_RELIABLE)
            }),
        }
    }

    /// As `check_system_tsc_reliable` decides (arch/x86/kernel/tsc.c, 6.12; before 6.11 it counted
    /// nodes instead of packages). The features come from `modalias`, which the kernel writes from
    /// what the boot CPU has (drivers/base/cpu.c), not from `/proc/cpuinfo`.
    fn trusts_tsc(&self, features: &BTreeSet<u32>, online: &CpuSet) -> Option<bool> {
        if features.contains(&TSC_RELIABLE) {
            return Some(true);
        }
        let is_steady = [CONSTANT_TSC, NONSTOP_TSC, TSC_ADJUST]
            .iter()
            .all(|feature| features.contains(feature));
        if !is_steady {
            return Some(false);
        }
        self.packages(online).map(|packages| packages <= 4)
    }
}

/// The features in `cpu:type:x86,…:feature:,0000,0001,…`.
fn x86_features(modalias: &str) -> Option<BTreeSet<u32>> {
    let features = modalias.strip_prefix("cpu:type:x86")?;
    let (_, features) = features.split_once(":feature:")?;
    features
        .split(',')
        .filter(|number| !number.is_empty())
        .map(|number| u32::from_str_radix(number, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::Tree;

    fn trusts(modalias: &str, packages: u32) -> Option<bool> {
        let mut tree = Tree::new().file("/sys/devices/system/cpu/modalias", modalias);
        for cpu in 0..packages {
            tree = tree.file(
                &format!("/sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"),
                &cpu.to_string(),
            );
        }
        let online = format!("0-{}", packages.max(1) - 1).parse().unwrap();
        tree.host().clock(&online).trusts_tsc
    }

    #[test]
    fn a_steady_tsc_of_few_packages_is_trusted() {
        let with =
            |features: &str| format!("cpu:type:x86,ven0000fam0006mod0055:feature:,0000,{features}");
        let steady = with("0068,0078,0121");
        assert_eq!(trusts(&steady, 1), Some(true));
        assert_eq!(trusts(&steady, 4), Some(true));
        assert_eq!(trusts(&steady, 5), Some(false));
        assert_eq!(trusts(&steady, 0), None, "packages are not known");
        assert_eq!(trusts(&with("0068,0078"), 1), Some(false));
        assert_eq!(trusts(&with("0077"), 5), Some(true));
        assert_eq!(trusts("cpu:type:aarch64:feature:,0000", 1), None);
    }

    #[test]
    fn sources_are_read() {
        let tree = Tree::new()
            .file(&format!("{FOLDER}/current_clocksource"), "tsc")
            .file(
                &format!("{FOLDER}/available_clocksource"),
                "tsc hpet acpi_pm \n",
            );
        let clock = tree.host().clock(&CpuSet::new());
        assert_eq!(clock.current, Reading::Known("tsc".to_owned()));
        assert_eq!(
            clock.available.known().unwrap(),
            &["tsc", "hpet", "acpi_pm"]
        );
        assert_eq!(clock.trusts_tsc, None);
    }
}
