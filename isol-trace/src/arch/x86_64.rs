//! x86-64.

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};

use super::{PageFault, PerCpu, Registers, StandIn, Tracepoint, tracepoints};

/// `struct pt_regs` (`arch/x86/include/asm/ptrace.h`), and the convention of its system calls
/// (`arch/x86/entry/entry_64.S`, v6.12). SYSCALL leaves ip in rcx and the flags in r11 (Intel SDM, SYSCALL).
pub(crate) const REGISTERS: Registers = Registers {
    ip: "ip",
    sp: "sp",
    frame: "bp",
    flags: "flags",
    number: "orig_ax",
    result: "ax",
    args: ["di", "si", "dx", "r10", "r8", "r9"],
    syscall: ["cx", "r11"],
};

/// The field of `task_struct` that has the exception which the kernel is about to signal.
pub(crate) const TRAP_NUMBER: &str = "thread.trap_nr";

/// What the system calls of 32-bit programs come by, for people.
pub(crate) const SYSCALL_GATE_32: &str = "int 0x80";

/// The vectors of the local APIC (`arch/x86/include/asm/trace/irq_vectors.h`).
pub(crate) const VECTORS: &[Tracepoint] = tracepoints![
    "local_timer_entry",
    "local_timer_exit",
    "reschedule_entry",
    "reschedule_exit",
    "call_function_entry",
    "call_function_exit",
    "call_function_single_entry",
    "call_function_single_exit",
    "irq_work_entry",
    "irq_work_exit",
    "x86_platform_ipi_entry",
    "x86_platform_ipi_exit",
    "thermal_apic_entry",
    "thermal_apic_exit",
    "threshold_apic_entry",
    "threshold_apic_exit",
    "deferred_error_apic_entry",
    "deferred_error_apic_exit",
    "error_apic_entry",
    "error_apic_exit",
    "spurious_apic_entry",
    "spurious_apic_exit",
];

/// NMIs, machine checks and page faults (`arch/x86/kernel/nmi.c`, `arch/x86/include/asm/trace/exceptions.h`).
pub(crate) const EXCEPTIONS: &[Tracepoint] = tracepoints![
    "nmi_handler",
    "mce_record",
    "page_fault_user",
    "page_fault_kernel",
];

/// What sends the reschedule IPI (`arch/x86/kernel/smp.c`, v6.1).
pub(crate) const RESCHEDULE: StandIn = StandIn {
    function: "native_smp_send_reschedule",
    tracepoint: "ipi_send_cpu",
};

/// Where an interrupt or an NMI began (`arch/x86/include/asm/idtentry.h`, v6.1 to v7.2): a task that
/// has a function on its stack whose name begins so did not ask itself.
pub(crate) const INTERRUPT_ENTRIES: &[&str] =
    &["asm_sysvec_", "asm_common_interrupt", "asm_exc_nmi"];

/// What the code of a page fault says (`arch/x86/include/asm/trap_pf.h`).
pub(crate) const fn page_fault(code: u32) -> PageFault {
    PageFault {
        protection: code & 1 << 0 != 0,
        write: code & 1 << 1 != 0,
        user: code & 1 << 2 != 0,
        fetch: code & 1 << 4 != 0,
    }
}

/// Where `preempt_count` is: `__preempt_count`, or a field of `pcpu_hot`
/// (`arch/x86/include/asm/current.h`, v6.2 to v6.14). `offset_of` knows the kernel's structures.
pub(crate) fn preempt_count(offset_of: impl Fn(&str, &str) -> Option<u32>) -> PerCpu {
    match offset_of("pcpu_hot", "preempt_count") {
        Some(offset) => PerCpu {
            symbol: "pcpu_hot",
            offset,
        },
        None => PerCpu {
            symbol: "__preempt_count",
            offset: 0,
        },
    }
}

/// What unwinds the stacks of programs.
pub(crate) type Unwinder<D> = UnwinderX86_64<D>;

/// What an unwinder remembers.
pub(crate) type UnwindCache<P> = CacheX86_64<P>;

/// The registers that an unwinder begins with.
pub(crate) fn unwind_registers(ip: u64, sp: u64, frame: u64) -> UnwindRegsX86_64 {
    UnwindRegsX86_64::new(ip, sp, frame)
}

/// What programs for this architecture have in their headers (`e_machine`).
pub(crate) const MACHINE: u16 = object::elf::EM_X86_64;

/// The name of an exception; `None` for a number that the processor does not define.
///
/// Numbers: `arch/x86/include/asm/trapnr.h`; they are the processor's and do not
/// change. Words: the comments there, in the contract's spelling.
#[must_use]
pub(crate) const fn exception_name(trap: u32) -> Option<&'static str> {
    Some(match trap {
        0 => "divide_error",
        1 => "debug",
        2 => "nmi",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bounds",
        6 => "invalid_opcode",
        7 => "device_not_available",
        8 => "double_fault",
        9 => "coprocessor_segment_overrun",
        10 => "invalid_tss",
        11 => "segment_not_present",
        12 => "stack_segment",
        13 => "general_protection",
        14 => "page_fault",
        15 => "spurious",
        16 => "x87_fpu",
        17 => "alignment_check",
        18 => "machine_check",
        19 => "simd_fpu",
        20 => "virtualization",
        21 => "control_protection",
        29 => "vmm_communication",
        // Not the processor's: the kernel's own number for a failed return to user mode.
        32 => "iret_error",
        _ => return None,
    })
}

/// The name of a system call, as the table spells it.
pub(super) fn syscall_name(number: usize) -> Option<&'static str> {
    syscalls::x86_64::Sysno::new(number).map(|call| call.name())
}

/// The name of a system call by the 32-bit gate, as the table spells it.
pub(super) fn compat_syscall_name(number: usize) -> Option<&'static str> {
    syscalls::x86::Sysno::new(number).map(|call| call.name())
}
