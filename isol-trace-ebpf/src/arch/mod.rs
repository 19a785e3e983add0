//! What only one architecture has, behind one interface: the functions that are exported here.
//!
//! An architecture is a file of this folder with these functions, a folder of `probe` with the probes that
//! no other one has, and the lines below and there that choose them by `traced_arch`, which `build.rs`
//! sets. What differs only in where a register lies is no matter of this folder: offsets come from
//! the running kernel's types.

#[cfg(traced_arch = "x86_64")]
mod x86_64;

#[cfg(traced_arch = "x86_64")]
use x86_64 as traced;

pub(crate) use traced::{
    in_interrupt, is_page_fault, is_syscall_instruction, trap_number, trap_of_breakpoint,
};
