//! Why was the kernel entered on an isolated CPU?
//!
//! Data flows one way: kernel → record → breach → attribution → consumers.
//!
//! - [`host`]: what is isolated here;
//! - [`bpf`]: every Aya type: object, loader, probes and their verdicts, rings, counters;
//! - [`arch`]: what only one architecture has;
//! - [`event`]: bytes → breaches;
//! - [`names`]: what the kernel's things are called;
//! - [`symbolize`]: an address of a process → function, source line and stack, in a process of its own;
//! - [`remedy`]: the rules: what would end a breach;
//! - [`attrib`]: names, places and remedies, put together with what the records say;
//! - [`doctor`]: what is wrong with a host, and what mends it;
//! - [`stats`]: the ledger and its arithmetic;
//! - [`trace`]: the engine: one trace, and the loop that feeds whoever hears it;
//! - [`consume`]: whoever hears a trace or a log: one trait, and one file a consumer;
//! - [`filter`]: the language in which breaches are picked;
//! - [`wire`]: the JSON log: one model, written, read, and made into the schema;
//! - [`sink`]: where a log is written;
//! - [`explain`]: why a task was killed;
//! - [`tui`]: the dashboard;
//! - [`guard`]: what ends a strict command when the tracer dies;
//! - [`cli`]: what was typed;
//! - [`clock`]: what records are stamped with, and the calendar;
//! - [`plan`]: what is to be done, valid;
//! - [`cmd`]: one module a command;
//! - [`printable`]: text of others, made fit for a terminal;
//! - [`error`]: the sentence with which a command ends early.

mod allocator;
pub mod arch;
pub mod attrib;
pub mod bpf;
mod cache;
pub mod cli;
pub mod clock;
pub mod cmd;
pub mod consume;
pub mod doctor;
pub mod error;
pub mod event;
pub mod explain;
pub mod filter;
pub mod guard;
pub mod host;
pub mod names;
pub mod plan;
pub mod printable;
pub mod remedy;
pub mod sink;
pub mod stats;
pub mod symbolize;
pub mod trace;
pub mod tui;
pub mod wire;
