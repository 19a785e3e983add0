//! From an address in an ELF file to a place in a program: function, source line, inlined functions.
//!
//! This room works on the bytes of files that somebody else opened. It opens nothing, follows no path
//! and asks the kernel for nothing but the mapping of a file, so that it can run in a process that may
//! do nothing else. Whatever a file says is hostile until checked: sizes are compared with [`Limits`]
//! before memory is taken, work is counted in steps, and names are cut and made printable.
//!
//! - [`image`]: one ELF file; [`program`]: a file and the files that hold its debug information;
//! - `elf`: headers as plain values; `sections`: their bytes, decompressed where need be;
//! - `symbols`: the symbol table as an index; `go`: the table that Go's runtime carries;
//! - `dwarf`: units, functions and lines, one unit at a time;
//! - [`perf_map`]: names that a runtime writes for the code that it generates;
//! - `demangle`, `source`, `text`: how names are spelled; `own`: whose code a frame is;
//! - `maps`: what code processes have mapped; `tables` and `unwind`: from a stack to its callers;
//! - `shared_table`: what is kept of files, shared among the users whose they are;
//! - [`child`]: the process that all this runs in; `sandbox`: what that gives up; `protocol` and `channel`: what it
//!   and the tracer say to each other. The tracer's side is `attrib::symbolizer`.

pub(crate) mod channel;
pub mod child;
mod demangle;
mod dwarf;
mod elf;
mod go;
pub mod image;
pub mod limits;
pub(crate) mod maps;
mod note;
pub(crate) mod own;
pub mod perf_map;
pub mod place;
pub mod program;
pub(crate) mod protocol;
mod sandbox;
mod sections;
pub(crate) mod shared_table;
mod source;
mod symbols;
mod tables;
pub(crate) mod text;
mod unwind;

pub use image::{FileOffset, Image, LinkedAddress};
pub use limits::{ImageError, Limits, Missing};
pub use note::{AltLink, DebugLink};
pub use perf_map::PerfMap;
pub use place::{Place, Words};
pub use program::Program;
pub use text::{NAME, SOURCE};

#[cfg(test)]
mod tests;
