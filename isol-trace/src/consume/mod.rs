//! Whoever hears a trace, or a log: one trait, and one file for each consumer.
//!
//! - [`consumer`]: the trait, and how several hear the same;
//! - [`lines`]: what consumers that write text have in common: whole lines, in batches;
//! - [`json`]: the log;
//! - [`people`]: lines for people, on a terminal.
//!
//! The others are beside what they belong to: the screen's in [`cmd::top`](crate::cmd::top), that of
//! [`explain`](crate::explain), the tally and the line of progress of [`cmd::record`](crate::cmd::record).

pub mod consumer;
pub mod json;
pub mod lines;
pub mod people;

pub use consumer::{Appetite, Consumer, FanOut};
