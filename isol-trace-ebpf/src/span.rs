//! How a span opens and closes.

use isol_trace_common::{
    cause::Cause,
    config::Control,
    record::{End, Kind},
    span::{CpuState, NOTE_SECTION_CALL, Phase, entry::UserExit},
};

use crate::{
    arch,
    context::Kernel,
    entry_record::{write_entry, write_plain_syscall},
    kfield::{self, Registers},
    off_cpu, strict, tasks,
};

/// Opens an entry of the current task: claims the state, looks the task up if another one was here
/// last, and only then asks how it left user mode. Gives the number of the system call that it is.
#[inline(always)]
pub(crate) fn open_entry(
    state: &CpuState,
    control: &Control,
    tid: u32,
    exit: impl FnOnce() -> UserExit,
) -> Option<u32> {
    state.claim();
    if state.task.tid.get() != tid || state.task.generation.get() != tasks::generation(control) {
        tasks::look_up(state, control, tid);
    }
    let exit = exit();
    state.open(&exit);
    exit.syscall
}

/// The current task left user mode.
#[inline(always)]
pub(crate) fn enter_kernel(
    state: &CpuState,
    control: &Control,
    at_ns: u64,
    tid: u32,
    registers: Registers,
) {
    match state.phase() {
        Phase::Closed => {}
        Phase::Settling => flush(state),
        Phase::Open => close_on_switch(state, at_ns, tid),
        Phase::Busy => return,
    }
    let syscall = open_entry(state, control, tid, || {
        let syscall = registers.syscall();
        UserExit {
            at_ns,
            tid,
            ip: registers.ip(),
            sp: registers.sp(),
            syscall,
        }
    });
    if let Some(number) = syscall {
        registers.arguments(|n, value| state.entry.args[n].set(value));
        if tasks::is_section_call(number, registers) {
            state.note(NOTE_SECTION_CALL);
        }
        strict::strike_call(state, number, registers);
    }
}

/// A task goes to user mode.
#[inline(always)]
pub(crate) fn exit_to_user(state: &CpuState, at_ns: u64, tid: u32) {
    state.user_since_ns.set(at_ns);
    match state.phase() {
        Phase::Open => {}
        Phase::Settling | Phase::Busy => return,
        Phase::Closed => return off_cpu::returned_to_user(state, at_ns, tid, kfield::current()),
    }
    let end = state.end_for(tid);
    if state.cause() != Cause::Syscall as u8 && end != End::Switched {
        late_syscall(state);
        if state.cause() == Cause::Unknown as u8 {
            late_breakpoint(state);
        }
    }
    match state.close(&Kernel, at_ns, end) {
        Some(Kind::EntrySyscall) => write_plain_syscall(state),
        Some(kind) => write_entry(state, kind),
        None => {}
    }
    if end == End::Switched {
        off_cpu::remember_owner_here(state);
        off_cpu::returned_to_user(state, at_ns, tid, kfield::current());
    } else if state.notes.get() & NOTE_SECTION_CALL != 0 {
        tasks::toggle_section(state, tid, state.entry.args[1].get());
    }
    state.release();
}

/// A system call whose number was hidden at the entry shows it now: `int 0x80` of x86 keeps it
/// in `orig_ax`, and `syscall(-1)` is known by what its instruction leaves in the registers.
#[inline(never)]
fn late_syscall(state: &CpuState) {
    let registers = Registers::of_current();
    let number = match registers.syscall() {
        Some(number) => number,
        None if state.cause() == Cause::Unknown as u8
            && arch::is_syscall_instruction(registers) =>
        {
            u32::MAX
        }
        None => return,
    };
    if state.cause() != Cause::Unknown as u8 {
        state.demote_cause();
    }
    state.late_syscall(number);
    registers.arguments(|n, value| state.entry.args[n].set(value));
}

/// A breakpoint that no signal told of: a uprobe, which the kernel answers itself
/// (`arch/x86/kernel/uprobes.c:arch_uprobe_exception_notify`, v6.1 to v7.2).
#[inline(never)]
fn late_breakpoint(state: &CpuState) {
    if let Some(trap) = arch::trap_of_breakpoint(state.entry.ip.get()) {
        state.attribute_late(Cause::Exception, trap);
    }
}

/// Closes an open span because another task begins one: its owner is still in the kernel.
#[inline(never)]
pub(crate) fn close_on_switch(state: &CpuState, at_ns: u64, tid: u32) {
    let end = state.end_for(tid);
    if let Some(kind) = state.close(&Kernel, at_ns, end) {
        write_entry(state, kind);
    }
    if end == End::Switched {
        off_cpu::remember_owner_here(state);
    }
    state.release();
}

/// Closes a span that was settling.
#[inline(never)]
pub(crate) fn flush(state: &CpuState) {
    if let Some(kind) = state.close_settled(End::Return) {
        write_entry(state, kind);
    }
    state.release();
}

/// The owner of the open span dies, or is taken to another CPU: what follows here is not its entry.
#[inline(always)]
pub(crate) fn leave(state: &CpuState, at_ns: u64, end: End) {
    if let Some(kind) = state.close(&Kernel, at_ns, end) {
        write_entry(state, kind);
    }
    state.release();
}
