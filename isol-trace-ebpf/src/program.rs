//! What a program is: the table that declares it, and the arguments that it is given.

use aya_ebpf::{EbpfContext, helpers::generated::bpf_get_func_arg};

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
            use $crate::program::Arguments;

            $(
                #[aya_ebpf::macros::btf_tracepoint]
                fn $name(context: aya_ebpf::programs::BtfTracePointContext) -> i32 {
                    super::$body(Arguments::of(&context));
                    0
                }

                #[aya_ebpf::macros::raw_tracepoint]
                fn $raw(context: aya_ebpf::programs::RawTracePointContext) -> i32 {
                    super::$body(Arguments::of(&context));
                    0
                }
            )*

            $($(
                #[aya_ebpf::macros::raw_tracepoint]
                fn $only(context: aya_ebpf::programs::RawTracePointContext) -> i32 {
                    super::$only_body(Arguments::of(&context));
                    0
                }
            )*)?

            $($(
                #[aya_ebpf::macros::fentry(function = $symbol)]
                fn $function(context: aya_ebpf::programs::FEntryContext) -> i32 {
                    super::$function_body(Arguments::of(&context));
                    0
                }
            )*)?
        }
    };
}
pub(crate) use tracepoints;

/// The arguments of a tracepoint, in the order of its `TP_PROTO`. BTF and raw
/// tracepoints lay them out alike: one 64-bit word each.
#[derive(Clone, Copy)]
pub(crate) struct Arguments(*const u64);

impl Arguments {
    /// Those of the program that has this context.
    #[inline(always)]
    pub(crate) fn of(context: &impl EbpfContext) -> Self {
        Self(context.as_ptr().cast())
    }

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
