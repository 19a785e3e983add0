//! What the bytes of a stranger's file say: from an address in it to function, source line and inlined functions.
//!
//! Nothing here opens a file, follows a path or asks the kernel for more than the mapping of a file that somebody else
//! opened. Whatever a file says is hostile until checked: sizes are compared with [`Limits`](limits::Limits) before
//! memory is taken, work is counted in steps, and names are cut and made printable.
//!
//! - [`image`]: one ELF file; [`program`]: a file and the files that hold its debug information;
//! - `elf`: headers as plain values; `sections`: their bytes, decompressed where need be;
//! - `symbols`: the symbol table as an index; `go`: the table that Go's runtime carries;
//! - `dwarf`: units, functions and lines, one unit at a time;
//! - [`perf_map`]: names that a runtime writes for the code that it generates;
//! - `demangle`, `source`, `place`: how a place is put in words;
//! - `tables` and `unwind`: from a stack to its callers.

mod demangle;
mod dwarf;
mod elf;
mod go;
pub mod image;
pub mod limits;
pub mod note;
pub mod perf_map;
mod place;
pub mod program;
mod sections;
mod source;
mod symbols;
pub(super) mod tables;
pub(super) mod unwind;

#[cfg(test)]
mod tests;
