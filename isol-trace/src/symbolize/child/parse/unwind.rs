//! From the bytes of a stack to return addresses.
//!
//! The work is framehop's: it reads the tables by which exceptions are unwound (`.eh_frame`), which
//! programs have whether or not they keep frame pointers. What is added here is doubt: an
//! address that is no code ends the stack.

use std::sync::Arc;

use framehop::{FrameAddress, MayAllocateDuringUnwind, Unwinder as _};

use super::tables::Table;
use crate::{
    arch::{UnwindCache, Unwinder, unwind_registers},
    symbolize::shared::protocol::{Code, CodeOf, FRAMES, Stack},
};

/// Code that an address lies in.
pub(in crate::symbolize::child) struct Found {
    /// Where it is mapped.
    pub(in crate::symbolize::child) code: Code,
    /// How it is unwound; `None` where that is not known.
    pub(in crate::symbolize::child) table: Option<Arc<Table>>,
}

/// Who knows what lies where.
pub(in crate::symbolize::child) trait Finder {
    /// What lies at an address; `None` ends the stack.
    fn find(&mut self, address: u64) -> Option<Found>;

    /// The stack comes back to code that was found before, after other code: what is read from here on is about that.
    /// `None` ends the stack.
    fn return_to(&mut self, code: &Code) -> Option<()>;
}

/// The frames of a stack, innermost first, as far as they are certain: an address, and whether it is one to return to.
pub(in crate::symbolize::child) fn unwind(
    stack: &Stack,
    finder: &mut impl Finder,
) -> Vec<(u64, bool)> {
    let mut unwinder = Unwinder::<Arc<[u8]>>::new();
    let mut rules = UnwindCache::<MayAllocateDuringUnwind>::new();
    let mut registers = unwind_registers(stack.ip, stack.sp, stack.bp);
    let mut read = |address: u64| stack.word(address).ok_or(());
    // The one that the last frame lies in comes last.
    let mut seen: Vec<Code> = Vec::new();
    let mut frames = Vec::new();
    let mut at = FrameAddress::from_instruction_pointer(stack.ip);
    while frames.len() < FRAMES {
        let frame = (at.address(), at.is_return_address());
        // Inside the instruction that the frame is at: the call is what comes before an address to return to.
        let place = at.address_for_lookup();
        let known = seen
            .iter()
            .position(|code| (code.start..code.end).contains(&place));
        if let Some(known) = known {
            let before = seen.last().map(|code| code.of);
            let code = seen.remove(known);
            seen.push(code);
            if before != Some(code.of) && finder.return_to(&code).is_none() {
                break;
            }
        } else {
            let Some(Found { code, table }) = finder.find(place) else {
                break;
            };
            let module = table.and_then(|table| table.module(&code, place));
            // Only code that was made at run time is taken to have frame pointers.
            if module.is_none() && code.of != CodeOf::Anonymous {
                frames.push(frame);
                break;
            }
            seen.push(code);
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
