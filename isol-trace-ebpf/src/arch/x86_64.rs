//! x86-64.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use isol_trace_common::config::ABSENT;

use crate::{
    context::this_cpu,
    kfield::{Registers, read},
    maps::config,
};

/// Whether user mode was left by the instruction for system calls: SYSCALL leaves ip in rcx and the
/// flags in r11 (Intel SDM, SYSCALL).
#[inline(always)]
pub(crate) fn is_syscall_instruction(registers: Registers) -> bool {
    let (ip_copy, flags_copy) = (
        config!(offsets.regs_syscall[0]),
        config!(offsets.regs_syscall[1]),
    );
    if ip_copy == ABSENT {
        return false;
    }
    registers.at(ip_copy) == registers.ip()
        && registers.at(flags_copy) == registers.at(config!(offsets.regs_flags))
}

/// `task_struct.thread.trap_nr`: the exception that the kernel is about to signal.
#[inline(always)]
pub(crate) fn trap_number(task: u64) -> Option<u64> {
    read(task, config!(offsets.task_trap_number))
}

/// `X86_TRAP_PF` (`arch/x86/include/asm/trapnr.h`).
const PAGE_FAULT_TRAP: u64 = 14;

/// Whether an exception is a page fault, by its [`trap_number`], which the kernel sets as it signals
/// (`arch/x86/mm/fault.c:set_signal_archinfo`, v6.12).
#[inline(always)]
pub(crate) const fn is_page_fault(trap: u64) -> bool {
    trap == PAGE_FAULT_TRAP
}

/// The exception by which user mode of the current task was left, if that is a breakpoint: it comes behind `int3` (Intel
/// SDM, INT 3).
#[inline(always)]
pub(crate) fn trap_of_breakpoint(ip: u64) -> Option<u32> {
    const INT3: u8 = 0xcc;
    /// `X86_TRAP_BP` (`arch/x86/include/asm/trapnr.h`).
    const BREAKPOINT_TRAP: u32 = 3;
    let mut instruction = 0_u8;
    let to = (&raw mut instruction).cast();
    // SAFETY: the byte is this function's own. What is no memory of the task, or would fault, is refused.
    let failed = unsafe { bpf_probe_read_user(to, 1, ip.wrapping_sub(1) as *const _) };
    (failed == 0 && instruction == INT3).then_some(BREAKPOINT_TRAP)
}

/// Whether this CPU serves a softirq, an interrupt or an NMI rather than the current task; `None`
/// where this kernel does not show its `preempt_count`, which is a variable of each CPU.
#[inline(always)]
pub(crate) fn in_interrupt() -> Option<bool> {
    let bases = config!(preempt_count.bases);
    if bases == 0 {
        return None;
    }
    let base: u64 = read(bases + 8 * u64::from(this_cpu()), 0)?;
    let count: u32 = read(base.wrapping_add(config!(preempt_count.address)), 0)?;
    Some(count & config!(preempt_count.interrupt_bits) != 0)
}
