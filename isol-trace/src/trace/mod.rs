//! The engine: one trace, and the one loop that feeds whoever hears it.
//!
//! - [`session`]: from attaching to detaching;
//! - [`engine`]: the loop.

pub mod engine;
pub mod session;

pub use engine::{Control, run};
pub use session::Session;
