//! Any bytes as a program, as its debug file, as split and as shared debug information, and as a perf map.
//!
//! What runs in the symbolizer is compiled in by its path, with what both sides share, and without the rest of the
//! library: it depends on nothing of it but its numbers and what it knows of an
//! architecture.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the rest of the library is not here"
)]
#[path = "../../isol-trace/src/symbolize"]
mod symbolize {
    pub mod child;
    pub mod shared;

    pub use child::parse::{
        image::{Image, LinkedAddress},
        limits::Limits,
        perf_map::PerfMap,
        program::Program,
    };
    pub use shared::text::NAME;
}

#[allow(dead_code, unreachable_pub, unused_imports, reason = "the rest of the library is not here")]
#[path = "../../isol-trace/src/arch/mod.rs"]
mod arch;

#[allow(dead_code, reason = "the rest of the library is not here")]
#[path = "../../isol-trace/src/event"]
mod event {
    pub mod ids;
}

#[path = "../harness.rs"]
mod harness;

fuzz_target!(|bytes: &[u8]| harness::ask_all(bytes));
