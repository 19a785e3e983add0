//! What the kernel side and the user side of isol-trace share.
//!
//! Everything here is `no_std` and free of BPF and of Aya, so that it compiles
//! for the BPF target and for the host alike, and is tested on the host:
//!
//! - [`cause`] and [`activity`]: the closed lists of words, with their wire numbers;
//! - [`record`]: what a ring carries, padding-free, layout pinned by tests;
//! - [`send`]: what senders leave of what they asked of a watched CPU;
//! - [`user_stack`]: where a sender was in user mode, on request;
//! - [`kill`]: signals that end a task, and who raised them;
//! - [`span`]: the machine that turns tracepoint hits into one record per kernel entry;
//! - [`ledger`]: the exact totals that are kept in the kernel;
//! - [`config`]: what user space tells the programs before they are armed;
//! - [`functions`]: the kernel's functions that the programs call.
//!
//! Wire numbers are append-only: a number that is given up leaves a hole.

#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "the machine runs inside BPF programs, where a call costs and is limited"
)]

#[cfg(test)]
extern crate std;

pub mod activity;
pub mod cause;
pub mod config;
pub mod functions;
pub mod kill;
pub mod ledger;
pub mod record;
pub mod send;
pub mod span;
pub mod user_stack;

/// Number of CPUs that can be named: the size of the watched-CPU mask.
pub const MAX_CPUS: u32 = 4096;
