//! The kernel's own interrupt counters: an account that is independent of ours.

use std::collections::BTreeMap;

use super::{Host, HostError, cpu_list::CpuSet};
use crate::event::ids::Cpu;

/// One line of `/proc/interrupts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterruptLine {
    /// Its label: an interrupt number, or the kernel's short word, such as `LOC`.
    pub label: String,
    /// What follows the counters: chip and devices, or the word in full.
    pub description: String,
    /// Counts of the CPUs that were asked for and have a column.
    pub counts: BTreeMap<Cpu, u64>,
}

impl Host {
    /// Reads the interrupt counters of some CPUs. Lines that count machine-wide (such as
    /// `ERR`) are left out.
    pub fn interrupts(&self, cpus: &CpuSet) -> Result<Vec<InterruptLine>, HostError> {
        Ok(parse(&self.read_required("/proc/interrupts")?, cpus))
    }
}

/// Picks the columns of some CPUs; only CPUs that are online have one.
fn parse(text: &str, cpus: &CpuSet) -> Vec<InterruptLine> {
    let mut lines = text.lines();
    let columns: Vec<Cpu> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|title| title.strip_prefix("CPU")?.parse().ok().map(Cpu))
        .collect();
    lines
        .filter_map(|line| counters(line, &columns, cpus))
        .collect()
}

/// One line, `None` where it has no counter per CPU.
fn counters(line: &str, columns: &[Cpu], cpus: &CpuSet) -> Option<InterruptLine> {
    let (label, mut rest) = line.split_once(':')?;
    let mut counts = BTreeMap::new();
    for &cpu in columns {
        rest = rest.trim_ascii_start();
        let (number, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let count = number.parse().ok()?;
        rest = after;
        if cpus.contains(cpu) {
            counts.insert(cpu, count);
        }
    }
    Some(InterruptLine {
        label: label.trim_ascii().to_owned(),
        description: rest.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        counts,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tests::recorded;

    fn line(lines: &[InterruptLine], label: &str) -> InterruptLine {
        lines
            .iter()
            .find(|line| line.label == label)
            .unwrap_or_else(|| panic!("no line {label}"))
            .clone()
    }

    #[test]
    fn columns_belong_to_online_cpus() {
        let cpus: CpuSet = "2-3".parse().unwrap();
        let lines = recorded("offline-cpu").interrupts(&cpus).unwrap();
        let timer = line(&lines, "LOC");
        assert_eq!(timer.description, "Local timer interrupts");
        // CPU 3 is offline: it has no column and no count.
        assert_eq!(timer.counts, BTreeMap::from([(Cpu(2), 3003)]));
        let device = line(&lines, "24");
        assert_eq!(
            device.description,
            "PCI-MSIX-0000:00:02.0 0-edge virtio0-config"
        );
        assert_eq!(device.counts, BTreeMap::from([(Cpu(2), 7)]));
        assert!(lines.iter().all(|line| line.label != "ERR"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "( +CPU[0-9]{1,5}){0,4}\n([A-Z0-9]{1,3}:[ 0-9a-z]{0,30}\n){0,4}") {
            let _ = parse(&text, &"0-4095".parse().unwrap());
        }
    }
}
