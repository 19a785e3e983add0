//! The log on the wire: one model of its records, written, read, and told to machines.
//!
//! - [`model`]: the records, one file each; [`value`], [`word`], [`list`]: what their members hold;
//! - `from_event`, `to_event`: between records and events; `numbers`: numbers that the log gives by their names alone;
//! - [`writer`]: a record as a line of JSON; `escape`: its text;
//! - [`reader`]: a log read back, one event after the other, and what is wrong with a line;
//! - `schema` (in tests): the JSON Schema, made from the model.
//!
//! Types and fields that this version does not know are skipped when a log is read. Records grow by adding fields;
//! a breaking change raises [`SCHEMA_NAME`]. `docs/json.md` tells people what a line holds.

mod escape;
mod from_event;
pub mod list;
pub mod model;
mod numbers;
pub mod reader;
#[cfg(test)]
pub(crate) mod schema;
#[cfg(test)]
pub(crate) mod tests;
mod to_event;
pub mod value;
pub mod word;
pub mod writer;

pub use reader::{LogError, LogReader, Preface};

/// The name of the log's format, as its first line gives it.
pub const SCHEMA_NAME: &str = "isol-trace/1";

/// JSON Schema (2020-12) of one line of the log. Made from [`model`]: a test compares them.
pub const SCHEMA: &str = include_str!("../../../docs/schema/isol-trace-1.schema.json");
