//! What limits isol-trace itself and the programs that it starts, short of refusing.

use super::{Host, privilege, reading::Reading};

/// Names of kernel functions (include/uapi/linux/capability.h).
const SYSLOG: u32 = 34;

/// How much memory a process may lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockLimit {
    /// This many bytes.
    Bytes(u64),
    /// All that there is.
    Unlimited,
}

/// Limits of this process and settings of the kernel that apply to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Whose addresses of kernel functions are hidden: 0 nobody's, 1 those without `CAP_SYSLOG`,
    /// 2 everybody's (Documentation/admin-guide/sysctl/kernel.rst, 6.12).
    pub kptr_restrict: Reading<i64>,
    /// Whether this process has `CAP_SYSLOG`; `None` where it cannot be known.
    pub has_syslog: Option<bool>,
    /// Whether BPF programs become machine code: 0 no, 1 yes, 2 yes, with a trace.
    pub bpf_jit: Reading<i64>,
    /// How much memory this process may lock.
    pub locked_memory: Reading<LockLimit>,
}

impl Host {
    /// Reads the limits.
    pub fn rights(&self) -> Rights {
        let status = self.reading(privilege::STATUS, privilege::effective_capabilities);
        Rights {
            kptr_restrict: self.number("/proc/sys/kernel/kptr_restrict"),
            has_syslog: status.known().map(|mask| mask & (1 << SYSLOG) != 0),
            bpf_jit: self.number("/proc/sys/net/core/bpf_jit_enable"),
            locked_memory: self.reading("/proc/self/limits", locked_memory),
        }
    }

    /// Whether a process with this name runs; kernel threads count too.
    #[must_use]
    pub fn runs(&self, comm: &str) -> bool {
        self.numbers("/proc").into_iter().any(|pid| {
            let name = self.reading(&format!("/proc/{pid}/comm"), |text| Some(text.to_owned()));
            name.known().is_some_and(|name| name == comm)
        })
    }
}

/// The soft limit in a limits file.
fn locked_memory(limits: &str) -> Option<LockLimit> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(LockLimit::Unlimited),
        number => number.parse().ok().map(LockLimit::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::Tree;

    #[test]
    fn limits_are_read() {
        let tree = Tree::new()
            .file("/proc/self/status", "Name:\tx\nCapEff:\t0000000400000000")
            .file("/proc/self/limits", "Limit  Soft  Hard  Units\nMax locked memory         8388608              unlimited            bytes     ")
            .file("/proc/sys/kernel/kptr_restrict", "1");
        let rights = tree.host().rights();
        assert_eq!(rights.has_syslog, Some(true));
        assert_eq!(rights.kptr_restrict, Reading::Known(1));
        assert_eq!(
            rights.locked_memory,
            Reading::Known(LockLimit::Bytes(8_388_608))
        );
        assert_eq!(rights.bpf_jit, Reading::Absent);
        let tree = tree
            .file(
                "/proc/self/limits",
                "Max locked memory         unlimited            unlimited            bytes     ",
            )
            .file("/proc/self/status", "CapEff:\t0");
        assert_eq!(
            tree.host().rights().locked_memory,
            Reading::Known(LockLimit::Unlimited)
        );
        assert_eq!(tree.host().rights().has_syslog, Some(false));
    }

    #[test]
    fn programs_are_found_by_name() {
        let host = Tree::new()
            .file("/proc/812/comm", "irqbalance")
            .file("/proc/sys/kernel/x", "1");
        assert!(host.host().runs("irqbalance"));
        assert!(!host.host().runs("irqbalanc"));
    }
}
