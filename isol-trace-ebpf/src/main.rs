//! The kernel side of isol-trace, in layers. A module imports only from layers below its own, so there
//! are no circles, and nothing below calls up. A test, `isol-trace/src/bpf/layers.rs`, holds every
//! import to this list; a new module goes into it. From the top:
//!
//! 1. [`probe`]: one file a subsystem: its tracepoints, and one small function each;
//! 2. [`activity`]: how interrupts and activities begin and end;
//! 3. [`derived`]: entries that no mark of context tracking opens or closes;
//! 4. [`span`]: how a span opens and closes;
//! 5. [`off_cpu`]: tasks whose entry ended while another one ran;
//!    [`strict`] and [`kill`]: breaches that are answered with a signal, and what is left of a task that
//!    one ends; [`send`]: the record that a sender leaves;
//! 6. [`tasks`]: who the task is: name, filters, sections; [`user_stack`]: where it was in user mode;
//!    [`entry_record`]: how an entry leaves as a record; [`arch`]: what only one architecture has;
//! 7. [`kfield`]: the only reads of kernel structures; [`ring`]: how a record leaves;
//! 8. [`maps`]: every map, and the read-only configuration;
//! 9. [`context`]: the time, the CPU, the current thread; [`preempt`]: what must not be preempted;
//!    [`program`]: what a program is, and its arguments.
//!
//! A new tracepoint is a row and a function in a file of [`probe`], and a row in the
//! loader's table in user space: see `docs/adding-a-probe.md`.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no atomic read-modify-write in core, though the machine does (v3, Linux 5.12)"
)]
#![expect(
    clippy::inline_always,
    reason = "a program's body is one function: a call costs, and the verifier limits the stack of a chain"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tracepoint's arguments come as words, and the casts are to the types of its prototype"
)]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "fields of kernel structures and maps lie at their own alignment"
)]
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "the helpers take keys and values by address"
)]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a pointer is moved and read in one breath"
)]

mod activity;
mod arch;
mod context;
mod derived;
mod entry_record;
mod kfield;
mod kill;
mod maps;
mod off_cpu;
mod preempt;
mod probe;
mod program;
mod ring;
mod send;
mod span;
mod strict;
mod tasks;
mod user_stack;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// SAFETY: the loader looks for a section of this name, and nothing else defines the symbol.
#[unsafe(link_section = "license")]
// SAFETY: as above.
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
