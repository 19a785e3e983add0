//! Programs of the test guest.

pub mod truth;
