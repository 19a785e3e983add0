//! The kernel's side: the numbers and structures of `linux/task_isolation.h`, and the call.
//!
//! The call is made directly, not through the C library: it leaves `errno` alone, so that a signal handler
//! may make it, and nothing is looked up when it is made first.
//!
//! Both structures may grow at their ends. Where this crate gives one, the kernel takes a shorter one
//! than its own to end in zeros. Where it takes one it offers [`ROOM`] bytes; an older kernel fills
//! them up with zeros, and what a newer one has put behind the part that is known here is seen.

use syscalls::{Errno, Sysno, syscall5};

/// The operation's number in `linux/prctl.h`: "ISOL".
const PR_TASK_ISOLATION: usize = 0x4953_4f4c;

/// What is read of a structure, so that one that has grown is noticed.
pub(crate) const ROOM: usize = 128;

/// A structure has so many words (`TASK_ISOLATION_CONFIG_SIZE_VER0`, 16 bytes).
pub(crate) const WORDS: usize = 4;

/// What a breach leads to: `task_isolation_config::mode`.
pub(crate) mod mode {
    pub(crate) const LOG: u32 = 0;
    pub(crate) const SIGNAL: u32 = 1;
    pub(crate) const STRICT: u32 = 2;
}

/// `struct task_isolation_config`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct RawConfig {
    pub(crate) mode: u32,
    pub(crate) flags: u32,
    pub(crate) quiesce: u32,
    pub(crate) signal: u32,
}

/// `struct task_isolation_features`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct RawFeatures {
    pub(crate) modes: u32,
    pub(crate) flags: u32,
    pub(crate) quiesce: u32,
    pub(crate) reserved: u32,
}

/// The words of a structure that this crate knows, and whether there is more to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) words: [u32; WORDS],
    pub(crate) more: bool,
}

/// Ends an activation.
pub(crate) fn leave() -> Result<(), Errno> {
    bare(0).map(drop)
}

/// Begins an activation.
pub(crate) fn enter() -> Result<(), Errno> {
    bare(1).map(drop)
}

/// What the kernel can do.
pub(crate) fn features() -> Result<Read, Errno> {
    read(2)
}

/// Sets the configuration of the calling thread.
pub(crate) fn set_config(config: &RawConfig) -> Result<(), Errno> {
    let pointer = (&raw const *config).addr();
    (&raw const *config).expose_provenance();
    // SAFETY: the kernel reads as many bytes as the structure has.
    unsafe { prctl(3, pointer, size_of::<RawConfig>()) }.map(drop)
}

/// The configuration of the calling thread.
pub(crate) fn get_config() -> Result<Read, Errno> {
    read(4)
}

/// Whether the calling thread is isolated.
pub(crate) fn is_active() -> Result<bool, Errno> {
    bare(5).map(|state| state != 0)
}

/// An operation without a structure.
fn bare(operation: usize) -> Result<usize, Errno> {
    // SAFETY: there is no pointer.
    unsafe { prctl(operation, 0, 0) }
}

/// An operation that fills a structure.
fn read(operation: usize) -> Result<Read, Errno> {
    let mut room = [0_u32; ROOM / size_of::<u32>()];
    let pointer = room.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel writes as many bytes as the array has, all of which may hold anything.
    unsafe { prctl(operation, pointer, ROOM) }?;
    Ok(known(&room))
}

/// Parts what has been read into what is known and what is not.
fn known(room: &[u32]) -> Read {
    let mut words = [0; WORDS];
    for (word, from) in words.iter_mut().zip(room) {
        *word = *from;
    }
    let more = room.iter().skip(WORDS).any(|&word| word != 0);
    Read { words, more }
}

/// The call.
///
/// # Safety
///
/// `pointer` is 0, or may be read or written, as the operation does, for `size` bytes.
unsafe fn prctl(operation: usize, pointer: usize, size: usize) -> Result<usize, Errno> {
    // SAFETY: the caller answers for the pointer, and the operations change nothing else of ours.
    unsafe { syscall5(Sysno::prctl, PR_TASK_ISOLATION, operation, pointer, size, 0) }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_structures_are_the_headers() {
        assert_eq!(size_of::<RawConfig>(), 16);
        assert_eq!(size_of::<RawFeatures>(), 16);
        assert_eq!(size_of::<RawConfig>(), WORDS * size_of::<u32>());
        assert_eq!(offset_of!(RawConfig, mode), 0);
        assert_eq!(offset_of!(RawConfig, flags), 4);
        assert_eq!(offset_of!(RawConfig, quiesce), 8);
        assert_eq!(offset_of!(RawConfig, signal), 12);
        assert_eq!(offset_of!(RawFeatures, modes), 0);
        assert_eq!(offset_of!(RawFeatures, flags), 4);
        assert_eq!(offset_of!(RawFeatures, quiesce), 8);
        assert_eq!(PR_TASK_ISOLATION.to_be_bytes()[4..], *b"ISOL");
    }

    #[test]
    fn a_structure_of_a_newer_kernel_is_noticed() {
        let mut room = [0; ROOM / 4];
        room[..WORDS].copy_from_slice(&[1, 2, 3, 4]);
        let words = [1, 2, 3, 4];
        assert_eq!(known(&room), Read { words, more: false });
        room[WORDS] = 1;
        assert_eq!(known(&room), Read { words, more: true });
    }
}
