//! A log read back: lines of JSON become the events that [`crate::sink`] wrote.
//!
//! - [`reader`]: one event after the other, and what is wrong with a line;
//! - `field`: values that the log spells as text: addresses, closed lists of words;
//! - `breach`, `origin`, `header`, `change`, `kill`, `summary`: the records;
//! - `numbers`: numbers that the log gives by their names alone.
//!
//! What the log does not hold is `None` in what comes back: addresses of functions that have
//! names, keys by which senders were found, when a nested vector began. Types and fields that this
//! version does not know are skipped; a word that it does not know is an error, since the record
//! would mean something else without it.

mod breach;
mod change;
mod few;
mod field;
mod header;
mod kill;
mod numbers;
mod origin;
pub mod reader;
mod summary;

pub use header::Preface;
pub use reader::{LogError, LogReader};

#[cfg(test)]
pub(crate) mod tests;
