//! Whether this kernel can take probes at all.

use std::path::PathBuf;

use super::{Host, HostError};

const BTF: &str = "/sys/kernel/btf/vmlinux";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// Why this kernel cannot take probes.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It does not describe its own types.
    #[error(
        "this kernel has no BTF ({BTF} is missing): boot one built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are"
    )]
    NoBtf,
    /// It lets nobody read its memory.
    #[error(
        "this kernel is locked down ({LOCKDOWN} says confidentiality), so that probes may not read its memory: boot it without lockdown=confidentiality"
    )]
    LockedDown,
    /// Nothing can be said.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Host {
    /// Checks that probes can work here: they need the kernel's types and its memory.
    pub fn require_probes(&self) -> Result<(), KernelError> {
        if !self.btf_path().exists() {
            return Err(KernelError::NoBtf);
        }
        // LOCKDOWN_BPF_READ_KERNEL belongs to confidentiality (include/linux/security.h, 6.12).
        match self.read(LOCKDOWN)? {
            Some(levels) if levels.contains("[confidentiality]") => Err(KernelError::LockedDown),
            _ => Ok(()),
        }
    }

    /// Where the kernel's type information is.
    #[must_use]
    pub fn btf_path(&self) -> PathBuf {
        self.path(BTF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    #[test]
    fn types_are_required() {
        recorded("nohz-full").require_probes().unwrap();
        assert!(matches!(
            recorded("no-btf").require_probes(),
            Err(KernelError::NoBtf)
        ));
    }

    #[test]
    fn memory_has_to_be_readable() {
        // The lesser lockdown, as secure boot sets it, is no hindrance.
        recorded("nohz-full").require_probes().unwrap();
        assert!(matches!(
            recorded("locked-down").require_probes(),
            Err(KernelError::LockedDown)
        ));
    }
}
