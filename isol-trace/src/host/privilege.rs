//! Whether this process may load probes.

use super::{Host, HostError};

/// Numbers of the capabilities (include/uapi/linux/capability.h).
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

pub(super) const STATUS: &str = "/proc/self/status";

/// Users of this process's namespace. Without user namespaces in the kernel there is no such file.
pub(super) const USERS: &str = "/proc/self/uid_map";

/// Why this process may not load probes.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// It lacks capabilities.
    #[error(
        "loading probes needs the capabilities CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), and this process lacks {lacking}: run isol-trace as root, or let only a group run it, and give it cap_bpf,cap_perfmon,cap_syslog,cap_sys_ptrace+ep (docs/commands.md#privileges)"
    )]
    Capabilities {
        /// Which of the two.
        lacking: &'static str,
    },
    /// It has them in its own user namespace, where BPF does not look.
    #[error(
        "the kernel honours CAP_BPF and CAP_PERFMON only outside of user namespaces, and this process is inside one, as in a rootless container: run isol-trace on the host itself"
    )]
    UserNamespace,
    /// Nothing can be said.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Host {
    /// Checks that this process may load probes.
    pub fn require_privilege(&self) -> Result<(), PrivilegeError> {
        let status = self.read_required(STATUS)?;
        let effective = effective_capabilities(&status).ok_or_else(|| HostError::Line {
            path: self.path(STATUS),
            line: "CapEff",
        })?;
        if let Some(lacking) = lacking(effective) {
            return Err(PrivilegeError::Capabilities { lacking });
        }
        match self.read(USERS)? {
            Some(map) if !maps_every_user(&map) => Err(PrivilegeError::UserNamespace),
            _ => Ok(()),
        }
    }
}

/// The effective capabilities in a status file.
pub(super) fn effective_capabilities(status: &str) -> Option<u64> {
    let digits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim_ascii(), 16).ok()
}

/// The capabilities for tracing programs that are missing, if any.
fn lacking(effective: u64) -> Option<&'static str> {
    let has = |capability: u32| effective & (1 << capability) != 0;
    match (has(BPF), has(PERFMON)) {
        _ if has(SYS_ADMIN) => None,
        (true, true) => None,
        (true, false) => Some("CAP_PERFMON"),
        (false, true) => Some("CAP_BPF"),
        (false, false) => Some("both"),
    }
}

/// Whether a user map is that of the first user namespace: every user is itself.
pub(super) fn maps_every_user(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    #[test]
    fn either_pair_or_administrator_will_do() {
        assert_eq!(lacking(1 << BPF | 1 << PERFMON), None);
        assert_eq!(lacking(1 << SYS_ADMIN), None);
        assert_eq!(lacking(0x0000_01ff_ffff_ffff), None);
        assert_eq!(lacking(1 << BPF), Some("CAP_PERFMON"));
        assert_eq!(lacking(1 << PERFMON), Some("CAP_BPF"));
        assert_eq!(lacking(0), Some("both"));
    }

    #[test]
    fn the_status_file_is_read() {
        assert_eq!(
            effective_capabilities("Name:\tx\nCapPrm:\t1\nCapEff:\t000001ffffffffff\n"),
            Some(0x0000_01ff_ffff_ffff)
        );
        assert_eq!(effective_capabilities("CapEff:\tnonsense\n"), None);
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }

    #[test]
    fn hosts_that_refuse_say_which_way() {
        recorded("nohz-full").require_privilege().unwrap();
        assert!(matches!(
            recorded("unprivileged").require_privilege(),
            Err(PrivilegeError::Capabilities { lacking: "both" })
        ));
        assert!(matches!(
            recorded("user-namespace").require_privilege(),
            Err(PrivilegeError::UserNamespace)
        ));
    }
}
