//! What the kernel does with memory on its own account.

use super::{Host, reading::Reading};

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";

/// Settings of memory management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// When transparent huge pages are used: `always`, `madvise`, `never`.
    pub huge_pages: Reading<String>,
    /// Whether khugepaged makes huge pages of small ones where it has to free memory for them.
    pub khugepaged_defrag: Reading<i64>,
    /// Whether equal pages are merged: 0 no, 1 yes, 2 no longer.
    pub ksm: Reading<i64>,
    /// Whether pages are moved to the node of the CPU that uses them.
    pub numa_balancing: Reading<i64>,
    /// Seconds between two looks at the CPUs' own counters.
    pub stat_interval: Reading<i64>,
}

impl Host {
    /// Reads the settings of memory management.
    pub fn memory(&self) -> Memory {
        Memory {
            huge_pages: self.reading(&format!("{HUGE_PAGES}/enabled"), chosen),
            khugepaged_defrag: self.number(&format!("{HUGE_PAGES}/khugepaged/defrag")),
            ksm: self.number("/sys/kernel/mm/ksm/run"),
            numa_balancing: self.number("/proc/sys/kernel/numa_balancing"),
            // Not vm/stat_refresh, which makes every CPU run the refresh (mm/vmstat.c, 6.12).
            stat_interval: self.number("/proc/sys/vm/stat_interval"),
        }
    }
}

/// The word in brackets, as the kernel marks the chosen one of several.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::Tree;

    #[test]
    fn settings_are_read() {
        let tree = Tree::new()
            .file(
                "/sys/kernel/mm/transparent_hugepage/enabled",
                "always [madvise] never",
            )
            .file("/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "1")
            .file("/sys/kernel/mm/ksm/run", "2")
            .file("/proc/sys/vm/stat_interval", "120");
        let memory = tree.host().memory();
        assert_eq!(memory.huge_pages, Reading::Known("madvise".to_owned()));
        assert_eq!(memory.khugepaged_defrag, Reading::Known(1));
        assert_eq!(memory.ksm, Reading::Known(2));
        assert_eq!(memory.numa_balancing, Reading::Absent);
        assert_eq!(memory.stat_interval, Reading::Known(120));
        assert_eq!(chosen("always madvise"), None);
    }
}
