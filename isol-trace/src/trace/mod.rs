//! The engine: one trace, and the one loop that feeds whoever hears it.
//!
//! - [`session`]: from attaching to detaching;
//! - [`consumer`]: who hears a trace, live or from a log;
//! - [`engine`]: the loop.

pub mod consumer;
pub mod engine;
pub mod session;

pub use consumer::{Appetite, Consumer, FanOut};
pub use engine::{Control, run};
pub use session::Session;
