//! Where a sender was in user mode: its registers and the top of its stack, copied.
//!
//! Written right after the sender's [`crate::send::Send`], only on request. The kernel cannot walk
//! the stack of a program without frame pointers; user space can, with the program's unwind
//! tables, from these bytes.

/// Bytes of the stack that are copied at most.
///
/// Enough for the calls of most programs, at half of what `perf record --call-graph dwarf` takes: what
/// is cut off are the outermost frames, and a ring of 4 MiB holds nine hundred of these records.
pub const STACK_BYTES: usize = 4096;

/// Bytes that are copied at a time. Pieces are aligned to their size, so that none lies on two
/// pages: one that is not there costs nothing of those before it.
pub const STACK_PIECE: usize = 256;

/// The user side of something that was asked of a watched CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
pub struct UserStack {
    /// [`crate::record::Kind::UserStack`].
    pub kind: u8,
    /// Zero, for later.
    pub reserved: [u8; 3],
    /// How many of [`UserStack::bytes`] were copied: a multiple of [`STACK_PIECE`].
    pub length: u32,
    /// [`crate::send::Send::at_ns`] of its sender's record: with thread and CPU the link to it.
    pub at_ns: u64,
    /// The sender's CPU.
    pub cpu: u32,
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// Zero, for later.
    pub reserved_tail: u32,
    /// The user instruction pointer.
    pub ip: u64,
    /// The user stack pointer.
    pub sp: u64,
    /// The user frame pointer, or whatever the program keeps in that register.
    pub bp: u64,
    /// The stack from [`UserStack::base`] on; only the first [`UserStack::length`] mean something.
    pub bytes: [u8; STACK_BYTES],
}

impl UserStack {
    /// Nothing copied.
    pub const EMPTY: Self = Self {
        kind: 0,
        reserved: [0; 3],
        length: 0,
        at_ns: 0,
        cpu: 0,
        tid: 0,
        pid: 0,
        reserved_tail: 0,
        ip: 0,
        sp: 0,
        bp: 0,
        bytes: [0; STACK_BYTES],
    };

    /// Where the copy of a stack begins: the beginning of the piece that `sp` lies in.
    #[must_use]
    #[inline]
    pub const fn base(sp: u64) -> u64 {
        sp & !(STACK_PIECE as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<UserStack>(), 56 + STACK_BYTES);
        assert_eq!(align_of::<UserStack>(), 8);
        assert_eq!(offset_of!(UserStack, length), 4);
        assert_eq!(offset_of!(UserStack, at_ns), 8);
        assert_eq!(offset_of!(UserStack, cpu), 16);
        assert_eq!(offset_of!(UserStack, tid), 20);
        assert_eq!(offset_of!(UserStack, pid), 24);
        assert_eq!(offset_of!(UserStack, ip), 32);
        assert_eq!(offset_of!(UserStack, sp), 40);
        assert_eq!(offset_of!(UserStack, bp), 48);
        assert_eq!(offset_of!(UserStack, bytes), 56);
    }

    #[test]
    fn no_piece_lies_on_two_pages() {
        assert!(STACK_PIECE.is_power_of_two() && 4096_usize.is_multiple_of(STACK_PIECE));
        assert!(STACK_BYTES.is_multiple_of(STACK_PIECE));
        assert_eq!(UserStack::base(0x7fff_ffff_e9f8), 0x7fff_ffff_e900);
        assert_eq!(UserStack::base(0x7fff_ffff_e900), 0x7fff_ffff_e900);
    }
}
