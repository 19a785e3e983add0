//! The log and the names in it, from the outside.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod attribution;
#[path = "../attributor/mod.rs"]
mod attributor;
mod csv;
mod disk_full;
mod json_lines;
mod samples;
mod schema;
