//! Consumers of a trace, or of a log: one trait, and one file for each.
//!
//! - [`consumer`]: the trait, and how several are given the same;
//! - [`lines`]: what consumers that write text have in common: whole lines, in batches, and how they are asked for;
//! - [`json`]: the log;
//! - [`people`]: lines for people, on a terminal;
//! - [`csv`]: rows for spreadsheets and data frames.
//!
//! `docs/adding-a-consumer.md` says how to add one.
//!
//! The others are beside what they belong to: the screen's in [`cmd::top`](crate::cmd::top), that of
//! [`explain`](crate::explain), the tally and the line of progress of [`cmd::record`](crate::cmd::record).

pub mod consumer;
pub mod csv;
pub mod json;
pub mod lines;
pub mod people;

pub use consumer::{Consumer, Demand, FanOut};
pub use lines::{Format, Lines, TextFormat};

/// Every format of `report`.
pub const FORMATS: &[Format] = &[
    // A new one is a line here.
    csv::FORMAT,
];
