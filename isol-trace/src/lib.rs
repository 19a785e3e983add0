//! Why was the kernel entered on an isolated CPU?
//!
//! Data flows one way: kernel → record → breach → attribution → sinks.
//!
//! - [`host`]: what is isolated here;
//! - [`bpf`]: every Aya type: object, loader, probes and their verdicts, rings, counters;
//! - [`event`]: bytes → breaches;
//! - [`attrib`]: names, places and origins;
//! - [`stats`]: the ledger and its arithmetic;
//! - [`sink`]: the JSON log;
//! - [`tui`]: the dashboard;
//! - [`cmd`]: one module a command.

pub mod event;
pub mod tui;
