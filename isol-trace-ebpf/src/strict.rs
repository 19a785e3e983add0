//! Strict mode: a breach inside an isolated section is answered with a signal.
//!
//! Either of two sides sends that signal:
//!
//! - the kernel, if it has the task-isolation series: its tracepoint tells which entry was the breach ([`kernel_found_breach`]);
//! - isol-trace's own programs, on request and on every kernel ([`strike`]): to threads of the command that the
//!   tracer starts, once a section. They never answer an `irq_work` interrupt, because the signal itself travels
//!   by one where interrupts are off (`kernel/trace/bpf_trace.c:bpf_send_signal_common`, v6.1 and v6.12).

use aya_ebpf::helpers::generated::bpf_send_signal_thread;
use isol_trace_common::{
    cause::Cause,
    kill::{DURATION_WORD, ENTRY_WORDS, Raiser, Strike},
    record::FLAG_SECTION,
    span::{CpuState, Phase, TASK_FILTERED, TASK_OWN, TASK_STRUCK},
};

use crate::{
    context::{current_tid, now, this_cpu},
    kfield::{self, Registers},
    maps::{STRICT, STRIKES, config},
    ring::copy_words,
    tasks,
};

/// A system call is a breach, unless by it the thread exits, returns from a signal handler, or makes the
/// `prctl` of its isolated section.
#[inline(always)]
pub(crate) fn strike_call(state: &CpuState, number: u32, registers: Registers) {
    if config!(strict_signal) == 0 {
        return;
    }
    let is_exempt = number == config!(exempt_calls[0])
        || number == config!(exempt_calls[1])
        || number == config!(exempt_calls[2])
        || tasks::is_section_call(number, registers);
    if !is_exempt {
        strike(state);
    }
}

/// An interrupt or a fault has just become the cause of the entry: that is a breach, unless it is `irq_work`.
#[inline(always)]
pub(crate) fn strike_cause(state: &CpuState, cause: Cause) {
    if config!(strict_signal) != 0 && cause as u8 != Cause::IrqWork as u8 {
        strike(state);
    }
}

/// Answers the open entry with the signal, if it is a breach in a section that has not been answered yet.
#[inline(never)]
fn strike(state: &CpuState) {
    let (tid, flags) = (state.entry.tid.get(), state.task.flags.get());
    // The entry's flag counts, not the task's: the kernel's task isolation may have ended the section in this entry.
    let [.., in_section] = state.entry.head.get().to_le_bytes();
    if in_section & FLAG_SECTION == 0
        || flags & (TASK_STRUCK | TASK_FILTERED | TASK_OWN) != 0
        || state.phase() != Phase::Open
        || current_tid() != tid
    {
        return;
    }
    // SAFETY: the value is never read.
    if unsafe { STRICT.get(&tid) }.is_none() {
        return;
    }
    let signal = config!(strict_signal);
    if !remember_strike(state, tid, signal as u8, Raiser::Tracer) {
        return;
    }
    // SAFETY: the helper has no requirements.
    if unsafe { bpf_send_signal_thread(signal) } != 0 {
        // Not sent: another signal is still on its way on this CPU. The next breach is answered instead.
        let _none = STRIKES.remove(&tid);
        return;
    }
    state.task.flags.set(flags | TASK_STRUCK);
    if let Some(section) = tasks::section(tid) {
        tasks::set_section(tid, Some(section.struck()));
    }
}

/// The current task forks a process or starts a thread. Strict mode is for the processes that the tracer's
/// first thread starts, and for everything that those start: the first thread starts the guard, and the guard
/// starts the command. The symbolizer is not among them, because another thread of the tracer starts it anew.
#[inline(always)]
pub(crate) fn forked(parent: u64, child: u64) {
    if config!(strict_signal) == 0 {
        return;
    }
    let is_command =
        kfield::task_tid(parent) == config!(own_pid) && kfield::task_pid(child) != config!(own_pid);
    // SAFETY: the value is never read.
    if is_command || unsafe { STRICT.get(&kfield::task_tid(parent)) }.is_some() {
        let _full = STRICT.insert(&kfield::task_tid(child), &1, 0);
    }
}

/// The current task has executed another program. Its number was `old`, and is `tid` from here on: its leader's.
#[inline(always)]
pub(crate) fn exec_changed_tid(old: u32, tid: u32) {
    if old == tid {
        return;
    }
    // SAFETY: the value is never read.
    if unsafe { STRICT.get(&old) }.is_some() {
        let _full = STRICT.insert(&tid, &1, 0);
    }
    thread_died(old);
}

/// A thread has died: another thread may get its number.
#[inline(always)]
pub(crate) fn thread_died(tid: u32) {
    if config!(strict_signal) != 0 {
        let _none = STRICT.remove(&tid);
    }
    // It may have died of another signal than the one that it was struck with.
    let _none = STRIKES.remove(&tid);
}

/// The kernel's strict mode has found a breach, and a signal will follow.
#[inline(always)]
pub(crate) fn kernel_found_breach(state: &CpuState, tid: u32, signal: u32) {
    let _kept = remember_strike(state, tid, signal as u8, Raiser::StrictMode);
}

/// Keeps the open entry until the signal is delivered, so that the record of the delivery can show it.
#[inline(always)]
fn remember_strike(state: &CpuState, tid: u32, signal: u8, raiser: Raiser) -> bool {
    let opened_ns = state.entry.opened_ns.get();
    let mut strike = Strike {
        opened_ns,
        cpu: this_cpu(),
        signal,
        raiser: raiser as u8,
        reserved: 0,
        entry: [0; ENTRY_WORDS],
    };
    // SAFETY: the entry's cells have more words than are copied, and `strike` is this function's own.
    unsafe {
        copy_words(
            core::ptr::from_ref(&state.entry).cast(),
            (&raw mut strike.entry).cast(),
            ENTRY_WORDS,
        );
    }
    strike.entry[DURATION_WORD] = now().saturating_sub(opened_ns);
    STRIKES.insert(&tid, &strike, 0).is_ok()
}
