//! Strict mode: a breach inside an isolated section is answered with a signal.
//!
//! Two hands do that. The kernel's own, where it has the task-isolation series: then its tracepoint
//! tells which entry was the breach ([`noted`]). And, on request and on every kernel, ours
//! ([`strike`]): for the command that the tracer starts, once a section, and never for an `irq_work` interrupt, because the signal
//! itself travels by one where interrupts are off
//! (`kernel/trace/bpf_trace.c:bpf_send_signal_common`, v6.1 and v6.12).

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

/// A system call: a breach, unless it is one by which a task leaves, or comes back from a handler.
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

/// An interrupt or a fault that has just become the cause of the entry.
#[inline(always)]
pub(crate) fn strike_cause(state: &CpuState, cause: Cause) {
    if config!(strict_signal) != 0 && cause as u8 != Cause::IrqWork as u8 {
        strike(state);
    }
}

/// Answers the open entry with the signal, once a section.
#[inline(never)]
fn strike(state: &CpuState) {
    let (tid, flags) = (state.entry.tid.get(), state.task.flags.get());
    // The entry's own flag: task isolation of the kernel may have ended the section with it.
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
    if !keep(state, tid, signal as u8, Raiser::Tracer) {
        return;
    }
    // SAFETY: the helper has no requirements.
    if unsafe { bpf_send_signal_thread(signal) } != 0 {
        // Another one is still on its way on this CPU: the next breach is answered.
        let _none = STRIKES.remove(&tid);
        return;
    }
    state.task.flags.set(flags | TASK_STRUCK);
    if let Some(section) = tasks::section(tid) {
        tasks::set_section(tid, Some(section.struck()));
    }
}

/// The current task forks a process or starts a thread: what the tracer's first thread starts is to be strict, and
/// what that starts. That is the guard, which starts the command. The process that reads programs' files is started
/// anew by another thread.
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

/// The current task, which was `old`, has become another program, and has its leader's number from here on.
#[inline(always)]
pub(crate) fn became(old: u32, tid: u32) {
    if old == tid {
        return;
    }
    // SAFETY: the value is never read.
    if unsafe { STRICT.get(&old) }.is_some() {
        let _full = STRICT.insert(&tid, &1, 0);
    }
    gone(old);
}

/// A thread is no more: its number will be another's.
#[inline(always)]
pub(crate) fn gone(tid: u32) {
    if config!(strict_signal) != 0 {
        let _none = STRICT.remove(&tid);
    }
    // It may have died of another signal than the one that it was struck with.
    let _none = STRIKES.remove(&tid);
}

/// The kernel's strict mode has found a breach, and a signal will follow.
#[inline(always)]
pub(crate) fn noted(state: &CpuState, tid: u32, signal: u32) {
    let _kept = keep(state, tid, signal as u8, Raiser::StrictMode);
}

/// Keeps which entry it was for the delivery of the signal.
#[inline(always)]
fn keep(state: &CpuState, tid: u32, signal: u8, raiser: Raiser) -> bool {
    let opened_ns = state.entry.opened_ns.get();
    let mut strike = Strike {
        opened_ns,
        cpu: this_cpu(),
        signal,
        raiser: raiser as u8,
        reserved: 0,
        entry: [0; ENTRY_WORDS],
    };
    // SAFETY: an entry's cells are longer than what is kept of them, which is this function's own.
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
