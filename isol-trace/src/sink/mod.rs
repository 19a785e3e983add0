//! What a log is made of, and where it is written.
//!
//! - `record`, `summary`: one event as JSON text; `remedies`: what ends a breach, behind the first that it ends;
//! - [`output`]: files that never end inside a line;
//! - [`queue`]: writing on a thread of its own.
//!
//! [`consume::json`](crate::consume::json) makes a log of them. What a line holds is fixed by `docs/schema/isol-trace-1.schema.json` and told
//! in `docs/json.md`. Records grow by adding fields; a breaking change raises
//! [`SCHEMA_NAME`].

mod encode;
pub mod output;
pub mod queue;
pub(crate) mod record;
pub(crate) mod remedies;
pub(crate) mod summary;

pub use output::LogFile;
pub use queue::Queue;

/// The name of the log's format, as its first line gives it.
pub const SCHEMA_NAME: &str = "isol-trace/1";

/// JSON Schema (2020-12) of one line of the log.
pub const SCHEMA: &str = include_str!("../../../docs/schema/isol-trace-1.schema.json");
