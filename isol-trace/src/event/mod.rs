//! From bytes to breaches: parsed once, then only valid values.

pub mod assemble;
pub mod decode;
pub mod ids;
pub mod join;
pub mod kill;
pub mod model;
mod order;
pub mod origin;
pub mod own;
mod per_cpu;
pub mod probe;
pub mod signal;
pub mod summary;
pub mod user_stack;
