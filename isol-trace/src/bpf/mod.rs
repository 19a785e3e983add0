//! Everything that knows Aya or the `bpf` system call.
//!
//! - [`object`]: the embedded object and the shapes of its maps;
//! - [`btf`]: where the running kernel keeps the fields that the programs read;
//! - [`preempt`]: where it keeps what tells an interrupt's act from a task's;
//! - `functions`: calls of the kernel's own functions;
//! - [`probes`]: the table of probes, and their verdicts;
//! - [`probe_selection`]: which of them a set of CPUs wants;
//! - [`availability`]: which of them this kernel has, without attaching any;
//! - [`request`]: what is asked for, as the programs read it;
//! - `attach`: attaching one probe;
//! - [`tracer`]: load, attach inert, arm, drain, disarm, detach;
//! - [`error`]: what keeps all of it from working;
//! - `rings`: taking maps out of the object, and making rings;
//! - `senders`: the ring that all other CPUs write to;
//! - [`numbers`]: the numbers by which the probes know our own processes;
//! - `watch`: which CPUs the programs watch, also when that changes;
//! - [`program_info`]: what the kernel counts per program;
//! - `layers`: a test that holds the programs' modules to their layers.

pub mod attach;
pub mod availability;
pub mod btf;
pub mod error;
mod functions;
#[cfg(test)]
mod layers;
pub mod numbers;
pub mod object;
pub mod preempt;
pub mod probe_selection;
pub mod probes;
pub mod program_info;
pub mod request;
mod rings;
mod senders;
pub mod tracer;
mod watch;
