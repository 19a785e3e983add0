//! From bytes to breaches: parsed once, then only valid values.

pub mod ids;
pub mod model;
