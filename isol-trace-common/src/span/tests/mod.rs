//! Tests of the span machine, on the host.
//!
//! [`sim`] is a CPU whose clock and interruptions the tests hold in their hands,
//! [`driver`] does to the machine what the BPF programs do, [`truth`] knows what must
//! come out of it: it keeps every interval with its begin and end and computes net times
//! from those alone. [`scenes`] and [`contradictions`] are single stories, [`properties`]
//! are random ones, [`lives`] those of tasks that die. [`away`] is what is kept of an owner that has lost the CPU. [`layout`] pins what
//! crosses to user space.

mod away;
mod contradictions;
mod driver;
mod layout;
mod lives;
mod properties;
mod scenes;
mod sim;
mod truth;
