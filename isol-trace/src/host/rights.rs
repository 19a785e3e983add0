//! What limits isol-trace itself and the programs that it starts, short of refusing.

use super::{Host, privilege, reading::Reading};

/// Numbers of the capabilities (include/uapi/linux/capability.h).
const IPC_LOCK: u32 = 14;
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
    /// Whether this process has `CAP_IPC_LOCK`; `None` where it cannot be known.
    pub has_ipc_lock: Option<bool>,
    /// Whether BPF programs become machine code: 0 no, 1 yes, 2 yes, with a trace.
    pub bpf_jit: Reading<i64>,
    /// How much memory this process may lock.
    pub locked_memory: Reading<LockLimit>,
}

impl Host {
    /// Reads the limits.
    pub fn rights(&self) -> Rights {
        let status = self.reading(privilege::STATUS, privilege::effective_capabilities);
        // Both are asked for in the first user namespace (`kallsyms_show_value`, kernel/kallsyms.c;
        // `can_do_mlock`, mm/mlock.c, 6.12).
        let users = self.reading(privilege::USERS, |map| {
            Some(privilege::maps_every_user(map))
        });
        let is_inside = users.known() == Some(&false);
        let has = |capability: u32| {
            let mask = status.known()?;
            Some(!is_inside && mask & (1 << capability) != 0)
        };
        Rights {
            kptr_restrict: self.number("/proc/sys/kernel/kptr_restrict"),
            has_syslog: has(SYSLOG),
            has_ipc_lock: has(IPC_LOCK),
            bpf_jit: self.number("/proc/sys/net/core/bpf_jit_enable"),
            locked_memory: self.reading("/proc/self/limits", locked_memory),
        }
    }

    /// Where the program of this process is; `None` where that cannot be known.
    #[must_use]
    pub fn program(&self) -> Option<String> {
        let path = self.path("/proc/self/exe").read_link().ok()?;
        let path = path.to_str()?;
        // So the kernel marks a file that another one has replaced since.
        Some(path.strip_suffix(" (deleted)").unwrap_or(path).to_owned())
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
        assert_eq!(rights.has_ipc_lock, Some(false));
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
        let root = tree.file("/proc/self/status", "CapEff:\t000001ffffffffff");
        assert_eq!(root.host().rights().has_ipc_lock, Some(true));
        let inside = root.file("/proc/self/uid_map", "0 100000 65536");
        let rights = inside.host().rights();
        assert_eq!(rights.has_ipc_lock, Some(false));
        assert_eq!(rights.has_syslog, Some(false));
    }

    #[test]
    fn the_program_is_named_by_its_path() {
        let tree = Tree::new().file("/proc/self/status", "");
        assert_eq!(tree.host().program(), None);
        let link = tree.path("/proc/self/exe");
        std::os::unix::fs::symlink("/opt/isol-trace (deleted)", link).unwrap();
        assert_eq!(tree.host().program().as_deref(), Some("/opt/isol-trace"));
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
