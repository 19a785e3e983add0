//! `/proc/interrupts`: the kernel's own count of what arrived where.

use std::collections::BTreeMap;

use anyhow::Result;

use super::files::read;

/// A reading of all counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interrupts {
    cpus: Vec<u32>,
    lines: BTreeMap<String, Line>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    counts: Vec<u64>,
    text: String,
}

impl Interrupts {
    /// Reads them now.
    pub fn read() -> Result<Self> {
        Ok(Self::parse(&read("/proc/interrupts")?))
    }

    /// Reads the text of `/proc/interrupts`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let cpus: Vec<u32> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("CPU")?.parse().ok())
            .collect();
        let lines = lines
            .filter_map(|line| {
                let (label, rest) = line.split_once(':')?;
                let counts: Vec<u64> = rest
                    .split_whitespace()
                    .map_while(|word| word.parse().ok())
                    .take(cpus.len())
                    .collect();
                let text = rest
                    .split_whitespace()
                    .skip(counts.len())
                    .collect::<Vec<_>>()
                    .join(" ");
                // Lines with one total for all CPUs (ERR, MIS) have no column to ask for.
                (counts.len() == cpus.len())
                    .then(|| (label.trim().to_owned(), Line { counts, text }))
            })
            .collect();
        Self { cpus, lines }
    }

    /// The count of a line on a CPU; 0 where the kernel has no such line.
    #[must_use]
    pub fn count(&self, label: &str, cpu: u32) -> u64 {
        let column = self.cpus.iter().position(|&one| one == cpu);
        column
            .and_then(|column| self.lines.get(label)?.counts.get(column).copied())
            .unwrap_or(0)
    }

    /// Whether the kernel has this line.
    #[must_use]
    pub fn has(&self, label: &str) -> bool {
        self.lines.contains_key(label)
    }

    /// How often a line counted between two readings.
    #[must_use]
    pub fn delta(&self, after: &Self, label: &str, cpu: u32) -> u64 {
        after
            .count(label, cpu)
            .saturating_sub(self.count(label, cpu))
    }

    /// Every line that counted on a CPU between two readings.
    #[must_use]
    pub fn changes(&self, after: &Self, cpu: u32) -> BTreeMap<String, u64> {
        after
            .lines
            .keys()
            .map(|label| (label.clone(), self.delta(after, label, cpu)))
            .filter(|(_, delta)| *delta > 0)
            .collect()
    }

    /// The number of the interrupt whose last words are `action`.
    #[must_use]
    pub fn irq_of(&self, action: &str) -> Option<u64> {
        self.lines
            .iter()
            .find(|(_, line)| line.text.rsplit([' ', ',']).any(|word| word == action))
            .and_then(|(label, _)| label.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "           CPU0       CPU1       CPU2       CPU3
  4:          0          4          0          0   IO-APIC   4-edge      ttyS0
NMI:          0          0          0          0   Non-maskable interrupts
IWI:          0          5          4          0   IRQ work interrupts
ERR:          0
";

    #[test]
    fn columns_and_names() {
        let before = Interrupts::parse(TEXT);
        let after = Interrupts::parse(&TEXT.replace("          5", "          7"));
        assert_eq!(before.count("4", 1), 4);
        assert_eq!(before.count("ERR", 0), 0);
        assert_eq!(before.irq_of("ttyS0"), Some(4));
        assert_eq!(before.irq_of("ttyS1"), None);
        assert_eq!(
            before.changes(&after, 1),
            [("IWI".to_owned(), 2)].into_iter().collect()
        );
        assert!(before.changes(&after, 0).is_empty());
        assert!(before.changes(&before, 1).is_empty());
    }
}
