//! From the bytes of a stack to return addresses.
//!
//! The work is framehop's: it reads the tables by which exceptions are unwound (`.eh_frame`), which
//! programs have whether or not they keep frame pointers. What is added here is doubt: an
//! address that is no code ends the stack.

use std::sync::Arc;

use framehop::{
    FrameAddress, Unwinder as _,
    x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64},
};

use super::{
    tables::Table,
    user_maps::{Backing, Mapping},
};
use crate::event::{ids::Address, user_stack::CopiedStack};

/// Frames that are kept, innermost first.
pub(super) const MAX_FRAMES: usize = 64;

/// Code that an address lies in.
pub(super) struct Code {
    /// Where it is mapped.
    pub(super) mapping: Mapping,
    /// How it is unwound; `None` where that is not known.
    pub(super) table: Option<Arc<Table>>,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    /// The instruction pointer, or the address to return to.
    pub(super) address: Address,
    /// It is an address to return to: the call is what comes before it.
    pub(super) returns: bool,
}

impl Frame {
    /// An address inside the instruction that the frame is at.
    pub(super) const fn lookup(self) -> Address {
        Address(self.address.0.wrapping_sub(self.returns as u64))
    }
}

/// The frames of a stack, innermost first, as far as they are certain. `code` says what lies at an
/// address; `None` ends the stack.
pub(super) fn unwind(
    stack: &CopiedStack,
    mut code: impl FnMut(Address) -> Option<Code>,
) -> Vec<Frame> {
    let mut unwinder = UnwinderX86_64::<Arc<[u8]>>::new();
    let mut rules = CacheX86_64::<framehop::MayAllocateDuringUnwind>::new();
    let mut registers = UnwindRegsX86_64::new(stack.ip.0, stack.sp.0, stack.bp.0);
    let mut read = |address: u64| stack.word(address).ok_or(());
    let mut seen: Vec<(u64, u64)> = Vec::new();
    let mut frames = Vec::new();
    let mut at = FrameAddress::from_instruction_pointer(stack.ip.0);
    while frames.len() < MAX_FRAMES {
        let frame = Frame {
            address: Address(at.address()),
            returns: at.is_return_address(),
        };
        let place = frame.lookup();
        if !seen
            .iter()
            .any(|(start, end)| (*start..*end).contains(&place.0))
        {
            let Some(Code { mapping, table }) = code(place) else {
                break;
            };
            let module = table.and_then(|table| table.module(&mapping, place));
            // Only code that was made at run time is taken to have frame pointers.
            if module.is_none() && mapping.backing != Backing::Anonymous {
                frames.push(frame);
                break;
            }
            seen.push((mapping.start, mapping.end));
            if let Some(module) = module {
                unwinder.add_module(module);
            }
        }
        frames.push(frame);
        let next = unwinder.unwind_frame(at, &mut registers, &mut rules, &mut read);
        // An error is what the end of the copied bytes gives, and the outermost frame of many programs.
        let Ok(Some(address)) = next else { break };
        let Some(next) = FrameAddress::from_return_address(address) else {
            break;
        };
        at = next;
    }
    frames
}

#[cfg(test)]
mod tests;
