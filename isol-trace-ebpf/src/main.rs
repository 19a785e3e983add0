//! The kernel side of isol-trace: what every program has in common.
//!
//! - [`context`]: the time, the CPU, the current thread;
//! - [`maps`]: every map, and the read-only configuration;
//! - [`kfield`]: the only reads of kernel structures;
//! - [`span`]: how a span opens, closes and leaves as a record;
//! - [`preempt`]: what must not be preempted;
//! - [`tasks`]: who the task is: name, filters, sections;
//! - [`strict`] and [`kill`]: breaches that are answered with a signal, and what is left of a task that one ends;
//! - [`probe`]: one file a subsystem: its entry points, and one small function each.
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

/// Declares a file's tracepoints: each twice over one body, as a BTF tracepoint and as the raw
/// one that kernels without the BTF type take and that a test can run with arguments of its
/// own; after `[raw only]`, those that only load as raw ones, because the verifier cannot type
/// one of their arguments; after `[functions]`, functions of kernels without a tracepoint that does.
macro_rules! tracepoints {
    (
        $($name:ident, $raw:ident => $body:ident;)*
        $([raw only] $($only:ident => $only_body:ident;)*)?
        $([functions] $($function:ident, $symbol:literal => $function_body:ident;)*)?
    ) => {
        /// What the kernel calls.
        mod programs {
            use aya_ebpf::{
                EbpfContext,
                macros::{btf_tracepoint, raw_tracepoint},
                programs::{BtfTracePointContext, RawTracePointContext},
            };

            use crate::Arguments;

            $(
                #[btf_tracepoint]
                fn $name(context: BtfTracePointContext) -> i32 {
                    super::$body(Arguments(context.as_ptr().cast()));
                    0
                }

                #[raw_tracepoint]
                fn $raw(context: RawTracePointContext) -> i32 {
                    super::$body(Arguments(context.as_ptr().cast()));
                    0
                }
            )*

            $($(
                #[raw_tracepoint]
                fn $only(context: RawTracePointContext) -> i32 {
                    super::$only_body(Arguments(context.as_ptr().cast()));
                    0
                }
            )*)?

            $($(
                #[aya_ebpf::macros::fentry(function = $symbol)]
                fn $function(context: aya_ebpf::programs::FEntryContext) -> i32 {
                    super::$function_body(Arguments(context.as_ptr().cast()));
                    0
                }
            )*)?
        }
    };
}
pub(crate) use tracepoints;

use aya_ebpf::helpers::generated::bpf_get_func_arg;

mod context;
mod kfield;
mod kill;
mod maps;
mod preempt;
mod probe;
mod span;
mod strict;
mod tasks;

/// The arguments of a tracepoint, in the order of its `TP_PROTO`. BTF and raw
/// tracepoints lay them out alike: one 64-bit word each.
#[derive(Clone, Copy)]
pub(crate) struct Arguments(*const u64);

impl Arguments {
    /// What helpers call the context: the arguments themselves.
    #[inline(always)]
    pub(crate) fn context(self) -> *mut core::ffi::c_void {
        self.0.cast_mut().cast()
    }

    /// The `n`th argument of a function as a word, whatever its type: the verifier refuses to
    /// read pointers to functions from the context (`kernel/bpf/btf.c:btf_ctx_access`, v6.1).
    #[inline(always)]
    pub(crate) fn of_function(self, n: u32) -> u64 {
        let mut value = 0;
        // SAFETY: the context is a function's, and the value lives.
        let failed = unsafe { bpf_get_func_arg(self.context(), n, &raw mut value) };
        if failed == 0 { value } else { 0 }
    }

    /// The `n`th argument as a word. Each body reads only what its tracepoint's prototype has.
    #[inline(always)]
    pub(crate) fn word(self, n: usize) -> u64 {
        // SAFETY: the kernel passes one word per argument, and the verifier refuses
        // a program that reads beyond them.
        unsafe { self.0.add(n).read_volatile() }
    }
}

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
