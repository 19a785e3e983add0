//! The ledger and its arithmetic: pure.

pub mod summary;
