//! From bytes to breaches: parsed once, then only valid values.
//!
//! Bytes of a ring ([`decode`]) become a [`entry::KernelEntry`], the join finds who provoked it
//! ([`raw::RawBreach`]), [`crate::attrib`] names what is in it ([`breach::Breach`]). Each of the three
//! is complete.

pub mod assemble;
pub mod breach;
pub mod cause;
pub mod decode;
pub mod entry;
pub mod header;
pub mod ids;
pub mod join;
pub mod kill;
pub mod model;
mod order;
pub mod origin;
pub mod own;
mod pending_kills;
mod per_cpu;
pub mod probe;
pub mod raw;
pub mod signal;
pub mod summary;
pub mod task;
mod thread_name;
pub mod unlogged;
pub mod user_stack;
