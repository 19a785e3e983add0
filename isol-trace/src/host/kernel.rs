//! Whether this kernel can take probes at all.

use super::Host;

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why this kernel cannot take probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// It does not describe its own types.
    #[error(
        "this kernel has no BTF ({BTF} is missing): boot one built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are"
    )]
    NoBtf,
}

impl Host {
    /// Checks that the kernel describes its types, which every probe needs.
    pub fn require_btf(&self) -> Result<(), KernelError> {
        if self.exists(BTF) {
            Ok(())
        } else {
            Err(KernelError::NoBtf)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    #[test]
    fn btf_is_required() {
        assert_eq!(recorded("nohz-full").require_btf(), Ok(()));
        assert_eq!(recorded("no-btf").require_btf(), Err(KernelError::NoBtf));
    }
}
