//! arm64, of which the names of system calls are here so far.

/// The name of a system call, as the table spells it.
pub(super) fn syscall_name(number: usize) -> Option<&'static str> {
    syscalls::aarch64::Sysno::new(number).map(|call| call.name())
}
