//! Why a task was killed or signalled: the entry that led to it, in words.
//!
//! Events go into a [`Gatherer`], which keeps the last breaches of each thread and makes a [`KillReport`] of
//! each process that a signal ended; [`rendered`] puts reports in words. Nothing here reads or writes a
//! file, so that a log and a trace that runs are told alike.
//!
//! - `gather`: from events to reports;
//! - `ended`: the same of a command that was started for it;
//! - `kill_report`: what belongs to one;
//! - `frame`: places in programs, and which of them are a person's own code;
//! - `call`: system calls with their arguments;
//! - `task`: a task's name and numbers;
//! - `cause`: why the kernel was entered; `place`: where the program was then;
//! - `text`: the first line of a report; `lines`: those below it.

mod call;
mod cause;
mod ended;
mod frame;
mod gather;
mod kill_report;
mod lines;
mod place;
mod task;
mod text;

#[cfg(test)]
mod tests;

pub use ended::{Ended, rendered_end};
pub use gather::{Gatherer, KillReports};
pub use kill_report::{Entry, KillReport};
pub use task::name;
pub use text::{breach_in_words, rendered, rendered_report};
