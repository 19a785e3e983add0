//! Names of system calls, by number and architecture.

use syscalls::{aarch64, x86, x86_64};

/// An architecture whose system calls have names here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86, 64 bit.
    X86_64,
    /// arm, 64 bit.
    Aarch64,
}

impl Arch {
    /// The architecture that this program was built for; `None` where it is another one.
    pub const NATIVE: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };
}

/// The name of a system call; `None` for a number that the table does not have,
/// such as one of a newer kernel.
#[must_use]
pub fn syscall_name(arch: Arch, number: u32) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    match arch {
        Arch::X86_64 => x86_64::Sysno::new(number).map(|call| plain(call.name())),
        Arch::Aarch64 => aarch64::Sysno::new(number).map(|call| plain(call.name())),
    }
}

/// The name of a system call by the 32-bit gate; `None` for a number that the table does
/// not have, and where there is no such gate.
#[must_use]
pub fn compat_syscall_name(arch: Arch, number: u32) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    match arch {
        Arch::X86_64 => x86::Sysno::new(number).map(|call| plain(call.name())),
        Arch::Aarch64 => None,
    }
}

/// The name without what makes a word of Rust, `break`, an identifier.
fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_its_own_numbers() {
        assert_eq!(syscall_name(Arch::X86_64, 0), Some("read"));
        assert_eq!(syscall_name(Arch::X86_64, 39), Some("getpid"));
        assert_eq!(syscall_name(Arch::X86_64, 157), Some("prctl"));
        assert_eq!(syscall_name(Arch::X86_64, 231), Some("exit_group"));
        assert_eq!(syscall_name(Arch::Aarch64, 172), Some("getpid"));
        assert_eq!(syscall_name(Arch::Aarch64, 63), Some("read"));
    }

    #[test]
    fn the_32_bit_gate_has_numbers_of_its_own() {
        assert_eq!(compat_syscall_name(Arch::X86_64, 64), Some("getppid"));
        assert_eq!(compat_syscall_name(Arch::X86_64, 17), Some("break"));
        assert_eq!(compat_syscall_name(Arch::X86_64, 100_000), None);
        assert_eq!(compat_syscall_name(Arch::Aarch64, 64), None);
    }

    #[test]
    fn a_number_beyond_the_table_has_no_name() {
        assert_eq!(syscall_name(Arch::X86_64, 100_000), None);
        assert_eq!(syscall_name(Arch::X86_64, u32::MAX), None);
    }
}
