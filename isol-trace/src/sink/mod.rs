//! Where events go: the JSON log.
//!
//! - [`json`]: one event, one line; `remedies`: what ends a breach, behind the first that it ends;
//! - [`output`]: files that never end inside a line;
//! - [`queue`]: writing on a thread of its own;
//! - [`time`]: from the monotonic clock to the calendar.
//!
//! What a line holds is fixed by `docs/schema/isol-trace-1.schema.json` and told
//! in `docs/json.md`. Records grow by adding fields; a breaking change raises
//! [`SCHEMA_NAME`].

mod encode;
pub mod json;
pub mod output;
pub mod queue;
mod record;
mod remedies;
mod summary;
pub mod time;

pub use json::JsonLines;
pub use output::LogFile;
pub use queue::Queue;
pub use time::Anchor;

/// The name of the log's format, as its first line gives it.
pub const SCHEMA_NAME: &str = "isol-trace/1";

/// JSON Schema (2020-12) of one line of the log.
pub const SCHEMA: &str = include_str!("../../../docs/schema/isol-trace-1.schema.json");
