//! A sender's user stack as it was copied, to be unwound.

use isol_trace_common::user_stack::UserStack;

use super::ids::{Address, Cpu, MonoNanos, Pid, Tid};
use crate::symbolize::shared::protocol::Stack;

/// Which sender a stack belongs to. One thread is at one place of one CPU at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackKey {
    /// When it asked.
    pub at: MonoNanos,
    /// Its CPU.
    pub cpu: Cpu,
    /// Its thread.
    pub tid: Tid,
}

/// Registers and the top of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedStack {
    /// Whose it is.
    pub key: StackKey,
    /// The process, whose maps tell what its addresses mean.
    pub pid: Pid,
    /// The instruction pointer.
    pub ip: Address,
    /// The stack pointer.
    pub sp: Address,
    /// The frame pointer, or whatever the program keeps in that register.
    pub bp: Address,
    /// Address of the first of the bytes.
    base: u64,
    /// The stack from there on, as far as it could be read.
    bytes: Box<[u8]>,
}

impl CopiedStack {
    /// What a record tells. `bytes` are those that were copied.
    pub(super) fn of(stack: &UserStack, bytes: &[u8]) -> Self {
        Self {
            key: StackKey {
                at: MonoNanos(stack.at_ns),
                cpu: Cpu(stack.cpu),
                tid: Tid(stack.tid),
            },
            pid: Pid(stack.pid),
            ip: Address(stack.ip),
            sp: Address(stack.sp),
            bp: Address(stack.bp),
            base: UserStack::base(stack.sp),
            bytes: bytes.into(),
        }
    }

    /// As the symbolizer is asked for its callers; `space` is the address space of its process.
    pub(crate) fn asked(&self, space: u64) -> Stack {
        Stack {
            space,
            ip: self.ip.0,
            sp: self.sp.0,
            bp: self.bp.0,
            base: self.base,
            bytes: self.bytes.to_vec(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The stack of a thread of this process, from `sp` on.
    pub(crate) fn own_stack(ip: u64, sp: u64, bp: u64, bytes: &[u8]) -> CopiedStack {
        let stack = UserStack {
            at_ns: 1,
            tid: 2,
            pid: std::process::id(),
            ip,
            sp,
            bp,
            ..UserStack::EMPTY
        };
        CopiedStack {
            base: sp,
            ..CopiedStack::of(&stack, bytes)
        }
    }

    /// The same with other bytes.
    pub(crate) fn copied(stack: &CopiedStack, bytes: &[u8]) -> CopiedStack {
        CopiedStack {
            bytes: bytes.into(),
            ..stack.clone()
        }
    }

    #[test]
    fn words_are_where_they_were_and_nowhere_else() {
        let stack = UserStack {
            sp: 0x7fff_0000_1088,
            ..UserStack::EMPTY
        };
        let bytes: Vec<u8> = (0..=255).collect();
        let stack = CopiedStack::of(&stack, &bytes).asked(1);
        let base = 0x7fff_0000_1000;
        assert_eq!(stack.word(base), Some(0x0706_0504_0302_0100));
        assert_eq!(stack.word(base + 1), Some(0x0807_0605_0403_0201));
        assert_eq!(stack.word(base + 248), Some(0xfffe_fdfc_fbfa_f9f8));
        assert_eq!(stack.word(base + 249), None);
        assert_eq!(stack.word(base - 1), None);
        assert_eq!(stack.word(0), None);
        assert_eq!(stack.word(u64::MAX), None);
    }
}
