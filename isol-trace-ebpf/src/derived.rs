//! Entries that are opened or closed without a mark of context tracking: those of NMIs, which pass none,
//! and, where the kernel does not track context, all. They are derived from what else is seen: vectors,
//! faults, system calls, switches.

use isol_trace_common::{
    cause::Cause,
    kill::is_of_exception,
    span::{CpuState, Phase, entry::UserExit},
};

use crate::{
    arch,
    context::{current_tid, now, this_cpu},
    kfield::{self, Registers, current, is_of_user_mode},
    maps::{armed, is_derived},
    off_cpu,
    span::{close_on_switch, flush, open_entry},
};

/// Whether an entry is open, or one is being opened or closed.
#[inline(always)]
pub(crate) fn is_under_way(state: &CpuState) -> bool {
    matches!(state.phase(), Phase::Open | Phase::Busy)
}

/// Where entries are derived: nothing is under way any more and no system call will say so.
#[inline(always)]
pub(crate) fn settle(state: &CpuState) {
    if is_derived(this_cpu())
        && state.phase() == Phase::Open
        && state.depth.get() == 0
        && state.cause() != Cause::Syscall as u8
    {
        state.settle(now());
    }
}

/// Where entries are derived: an event outside any span means that user mode was left. An
/// entry that was settling goes on if the registers saved when user mode was left are still the same.
#[inline(always)]
pub(crate) fn open(state: &CpuState) {
    if is_under_way(state) {
        return;
    }
    let phase = state.phase();
    let tid = current_tid();
    if !is_of_user_mode(current(), tid) {
        return;
    }
    let registers = Registers::of_current();
    if phase == Phase::Settling
        && state.is_owner(tid)
        && state.entry.ip.get() == registers.ip()
        && state.sp.get() == registers.sp()
        && state.cause() == Cause::PageFault as u8
    {
        state.resume();
        return;
    }
    let Some(control) = armed() else { return };
    if phase == Phase::Settling {
        flush(state);
    }
    // The number may be a system call's that has returned: system calls are opened by their own tracepoint.
    let _none = open_entry(state, control, tid, || UserExit {
        at_ns: now(),
        tid,
        ip: registers.ip(),
        sp: registers.sp(),
        syscall: None,
    });
}

/// A second fault at the same place is a second entry, not the first one going on.
#[inline(always)]
pub(crate) fn open_anew(state: &CpuState) {
    if state.phase() == Phase::Settling {
        flush(state);
    }
    open(state);
}

/// Where entries are derived, nothing says when a task that was switched to is in user mode: it
/// counts as there from here on, save inside a system call, whose end has a tracepoint.
#[inline(always)]
pub(crate) fn switched_to(state: &CpuState, task: u64, tid: u32) {
    if !is_of_user_mode(task, tid) {
        return;
    }
    let at_ns = now();
    if state.phase() == Phase::Open {
        close_on_switch(state, at_ns, tid);
    }
    if !off_cpu::is_in_call(tid) {
        off_cpu::returned_to_user(state, at_ns, tid, task);
    }
}

/// Whether the current task, which dies, does so in its entry that is settling: its registers are those
/// with which it came. An exception without a tracepoint may have come from the same place since. What
/// it leads to are the signals of faults, and a page fault's own is known by its trap number. On its way
/// to user mode an NMI delivers none.
#[inline(always)]
pub(crate) fn dies_in(state: &CpuState) -> bool {
    let registers = Registers::of_current();
    if state.entry.ip.get() != registers.ip() || state.sp.get() != registers.sp() {
        return false;
    }
    let (task, cause) = (current(), state.cause());
    let is_of_a_fault = kfield::ending_signal(task).is_none_or(is_of_exception);
    if is_of_a_fault {
        cause == Cause::PageFault as u8 && arch::trap_number(task).is_some_and(arch::is_page_fault)
    } else {
        cause != Cause::Nmi as u8
    }
}

/// An NMI has just hit user mode, and none of its handlers has run: the kernel's task isolation tells.
#[inline(always)]
pub(crate) fn open_ahead_of_handlers(state: &CpuState) {
    if matches!(state.phase(), Phase::Settling | Phase::Closed) {
        open_nmi(state, 0, 0);
    }
}

/// An NMI hit user mode: an entry of its own, which settles until the next event. `handler` is 0 where
/// the first is yet to come.
#[inline(never)]
pub(crate) fn open_nmi(state: &CpuState, handler: u64, length: u64) {
    if state.phase() == Phase::Settling {
        flush(state);
    }
    let tid = current_tid();
    // Where entries are derived, a task that is back in the system call that it was switched out of
    // has no open entry: the NMI hit the kernel there.
    if !is_of_user_mode(current(), tid) || off_cpu::is_in_call(tid) {
        return;
    }
    let Some(control) = armed() else { return };
    let end = now();
    let _none = open_entry(state, control, tid, || {
        let registers = Registers::of_current();
        UserExit {
            at_ns: end.saturating_sub(length),
            tid,
            ip: registers.ip(),
            sp: registers.sp(),
            syscall: None,
        }
    });
    state.attribute(Cause::Nmi, 0, handler);
    state.settle(end);
}
