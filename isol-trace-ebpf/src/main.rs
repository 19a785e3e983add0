//! The kernel side of isol-trace: entry points and nothing else.
//!
//! - [`maps`]: every map, and the read-only configuration;
//! - [`kfield`]: the only reads of kernel structures;
//! - [`span`]: how a span opens, closes and leaves as a record;
//! - [`tasks`]: who the task is: name, filters, sections;
//! - [`probe`]: one file a subsystem, one small function a tracepoint.
//!
//! A new tracepoint is one line in the table below, one function under
//! [`probe`], and one row in the loader's table in user space.

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

mod kfield;
mod maps;
mod probe;
mod span;
mod tasks;

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};

/// The arguments of a tracepoint, in the order of its `TP_PROTO`. BTF and raw
/// tracepoints lay them out alike: one 64-bit word each.
#[derive(Clone, Copy)]
pub(crate) struct Arguments(*const u64);

impl Arguments {
    /// The `n`th argument as a word. Each body reads only what its tracepoint's prototype has.
    #[inline(always)]
    pub(crate) fn word(self, n: usize) -> u64 {
        // SAFETY: the kernel passes one word per argument, and the verifier refuses
        // a program that reads beyond them.
        unsafe { self.0.add(n).read_volatile() }
    }
}

/// Declares each tracepoint twice over one body: as a BTF tracepoint, and as the raw
/// one that kernels without the BTF type take and that a test can run with arguments of its own.
macro_rules! tracepoints {
    ($($name:ident, $raw:ident => $body:path;)*) => {$(
        #[btf_tracepoint]
        fn $name(context: BtfTracePointContext) -> i32 {
            $body(Arguments(context.as_ptr().cast()));
            0
        }

        #[raw_tracepoint]
        fn $raw(context: RawTracePointContext) -> i32 {
            $body(Arguments(context.as_ptr().cast()));
            0
        }
    )*};
}

/// Declares tracepoints that only load as raw ones: the verifier cannot type one of their arguments.
macro_rules! raw_tracepoints {
    ($($raw:ident => $body:path;)*) => {$(
        #[raw_tracepoint]
        fn $raw(context: RawTracePointContext) -> i32 {
            $body(Arguments(context.as_ptr().cast()));
            0
        }
    )*};
}

tracepoints! {
    user_exit, raw_user_exit => probe::entry::user_exit;
    user_enter, raw_user_enter => probe::entry::user_enter;
    sys_enter, raw_sys_enter => probe::entry::sys_enter;
    sys_exit, raw_sys_exit => probe::entry::sys_exit;

    local_timer_entry, raw_local_timer_entry => probe::vector::local_timer_entry;
    local_timer_exit, raw_local_timer_exit => probe::vector::exit;
    reschedule_entry, raw_reschedule_entry => probe::vector::reschedule_entry;
    reschedule_exit, raw_reschedule_exit => probe::vector::exit;
    call_function_entry, raw_call_function_entry => probe::vector::call_function_entry;
    call_function_exit, raw_call_function_exit => probe::vector::exit;
    call_function_single_entry, raw_call_function_single_entry => probe::vector::call_function_single_entry;
    call_function_single_exit, raw_call_function_single_exit => probe::vector::exit;
    irq_work_entry, raw_irq_work_entry => probe::vector::irq_work_entry;
    irq_work_exit, raw_irq_work_exit => probe::vector::irq_work_exit;
    x86_platform_ipi_entry, raw_x86_platform_ipi_entry => probe::vector::platform_ipi_entry;
    x86_platform_ipi_exit, raw_x86_platform_ipi_exit => probe::vector::exit;
    thermal_apic_entry, raw_thermal_apic_entry => probe::vector::thermal_entry;
    thermal_apic_exit, raw_thermal_apic_exit => probe::vector::exit;
    threshold_apic_entry, raw_threshold_apic_entry => probe::vector::threshold_entry;
    threshold_apic_exit, raw_threshold_apic_exit => probe::vector::exit;
    deferred_error_apic_entry, raw_deferred_error_apic_entry => probe::vector::deferred_error_entry;
    deferred_error_apic_exit, raw_deferred_error_apic_exit => probe::vector::exit;
    error_apic_entry, raw_error_apic_entry => probe::vector::error_entry;
    error_apic_exit, raw_error_apic_exit => probe::vector::exit;
    spurious_apic_entry, raw_spurious_apic_entry => probe::vector::spurious_entry;
    spurious_apic_exit, raw_spurious_apic_exit => probe::vector::exit;

    irq_handler_entry, raw_irq_handler_entry => probe::irq::handler_entry;
    irq_handler_exit, raw_irq_handler_exit => probe::irq::handler_exit;
    softirq_entry, raw_softirq_entry => probe::irq::softirq_entry;
    softirq_exit, raw_softirq_exit => probe::irq::softirq_exit;
    nmi_handler, raw_nmi_handler => probe::nmi::handler;
    mce_record, raw_mce_record => probe::nmi::machine_check;

    page_fault_user, raw_page_fault_user => probe::fault::user;
    page_fault_kernel, raw_page_fault_kernel => probe::fault::kernel;
    signal_generate, raw_signal_generate => probe::signal::generate;
    signal_deliver, raw_signal_deliver => probe::signal::deliver;
    tlb_flush, raw_tlb_flush => probe::fault::tlb_flush;

    timer_expire_entry, raw_timer_expire_entry => probe::timer::expire_entry;
    timer_expire_exit, raw_timer_expire_exit => probe::timer::expire_exit;
    hrtimer_expire_entry, raw_hrtimer_expire_entry => probe::timer::hrtimer_entry;
    hrtimer_expire_exit, raw_hrtimer_expire_exit => probe::timer::hrtimer_exit;
    tick_stop, raw_tick_stop => probe::timer::tick_stop;

    workqueue_execute_start, raw_workqueue_execute_start => probe::work::start;
    workqueue_execute_end, raw_workqueue_execute_end => probe::work::end;

    sched_switch, raw_sched_switch => probe::sched::switch;
    sched_migrate_task, raw_sched_migrate_task => probe::sched::migrate;
    sched_process_exit, raw_sched_process_exit => probe::sched::exit;
    task_rename, raw_task_rename => probe::sched::rename;

    ipi_send_cpu, raw_ipi_send_cpu => probe::send::ipi_send_cpu;
}

raw_tracepoints! {
    raw_csd_function_entry => probe::work::csd_entry;
    raw_csd_function_exit => probe::work::csd_exit;
    raw_csd_queue_cpu => probe::send::csd_queue_cpu;
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
