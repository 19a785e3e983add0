//! Where a log is written.
//!
//! - [`output`]: files that never end inside a line;
//! - [`queue`]: writing on a thread of its own.

pub mod output;
pub mod queue;

pub use output::LogFile;
pub use queue::Queue;
