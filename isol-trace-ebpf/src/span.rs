//! How a span opens and closes.

use isol_trace_common::{
    cause::Cause,
    config::Control,
    ledger::add,
    record::{Back, End, Kind},
    span::{
        CpuState, NOTE_SECTION_CALL, Phase,
        away::{AWAY_UNTOLD, Away},
        entry::Departure,
    },
};

use crate::{
    context::{Kernel, now, this_cpu},
    entry_record::{write_entry, write_plain_syscall},
    kfield::{self, Registers},
    maps::AWAY,
    ring::write,
    strict, tasks,
};

/// The current task left user mode.
#[inline(always)]
pub(crate) fn depart(
    state: &CpuState,
    control: &Control,
    at_ns: u64,
    tid: u32,
    registers: Registers,
) {
    match state.phase() {
        Phase::Closed => {}
        Phase::Settling => flush(state),
        Phase::Open => leave_behind(state, at_ns, tid),
        Phase::Busy => return,
    }
    state.claim();
    if state.task.tid.get() != tid || state.task.generation.get() != tasks::generation(control) {
        tasks::look_up(state, control, tid);
    }
    let syscall = registers.syscall();
    state.open(&Departure {
        at_ns,
        tid,
        ip: registers.ip(),
        sp: registers.sp(),
        syscall,
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
pub(crate) fn arrive(state: &CpuState, at_ns: u64, tid: u32) {
    state.user_since_ns.set(at_ns);
    match state.phase() {
        Phase::Open => {}
        Phase::Settling | Phase::Busy => return,
        Phase::Closed => return back(state, at_ns, tid, kfield::current()),
    }
    let end = state.end_for(tid);
    if state.cause() != Cause::Syscall as u8 && end != End::Switched {
        late_syscall(state);
    }
    match state.close(&Kernel, at_ns, end) {
        Some(Kind::EntrySyscall) => write_plain_syscall(state),
        Some(kind) => write_entry(state, kind),
        None => {}
    }
    if end == End::Switched {
        remember_away(state);
        back(state, at_ns, tid, kfield::current());
    } else if state.notes.get() & NOTE_SECTION_CALL != 0 {
        tasks::toggle_section(state, tid, state.entry.args[1].get());
    }
    state.release();
}

/// A system call whose number was hidden at the departure shows it now: `int 0x80` keeps it
/// in `orig_ax`, and `syscall(-1)` is known by what its instruction leaves in the registers.
#[inline(never)]
fn late_syscall(state: &CpuState) {
    let registers = Registers::of_current();
    let number = match registers.syscall() {
        Some(number) => number,
        None if state.cause() == Cause::Unknown as u8 && registers.is_syscall_instruction() => {
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

/// Closes an open span because another task begins one: its owner is still in the kernel.
#[inline(never)]
pub(crate) fn leave_behind(state: &CpuState, at_ns: u64, tid: u32) {
    let end = state.end_for(tid);
    if let Some(kind) = state.close(&Kernel, at_ns, end) {
        write_entry(state, kind);
    }
    if end == End::Switched {
        remember_away(state);
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

/// Keeps when the owner of the span was left behind, for its return. An entry that a filter
/// left out has no record that a return could belong to.
#[inline(always)]
fn remember_away(state: &CpuState) {
    // Of one that goes to another CPU this was done when it did.
    if state.migrated.get() == 0 {
        keep_away(state, this_cpu());
    }
}

/// Keeps what there is to do when the owner of the span of a CPU is back.
#[inline(never)]
pub(crate) fn keep_away(state: &CpuState, cpu: u32) {
    let tid = state.entry.tid.get();
    let away = Away::left(state, cpu);
    if away.is_forgettable() {
        return;
    }
    if AWAY.insert(&tid, &away, 0).is_err() {
        add(&state.ledger.lost_notes, 1);
    } else if away.asleep != 0 && !state.owner_sleeps() {
        // Woken by another CPU since the flag was read; its program may not have found the victim.
        wake(tid, now());
    }
}

/// Somebody wakes a victim.
#[inline(always)]
pub(crate) fn wake(tid: u32, at_ns: u64) {
    if let Some(away) = AWAY.get_ptr_mut(&tid) {
        // SAFETY: the value stays where it is; it is removed only by programs that run where
        // the victim runs, and a victim that is being woken does not run.
        unsafe { (*away).wake(at_ns) };
    }
}

/// A task that owns no span here is in user mode again: perhaps it had been left behind, even in the
/// call that begins or ends its section.
///
/// Nothing of a dead task is kept ([`tasks::gone`]). If it is all the same, then its number is another
/// task's now: that is a defect, and counted as one.
#[inline(never)]
pub(crate) fn back(state: &CpuState, at_ns: u64, tid: u32, task: u64) {
    // SAFETY: entries of one thread are written and removed only by programs that run
    // where it runs, or after it has died.
    let Some(away) = (unsafe { AWAY.get(&tid) }) else {
        return;
    };
    let mut section_call = away.section_call();
    match away.back(tid, kfield::task_born(task), at_ns) {
        Some(record) if away.notes & AWAY_UNTOLD == 0 => tell_back(state, &record),
        Some(_) => {}
        None => {
            add(&state.ledger.tainted, 1);
            section_call = None;
        }
    }
    let _gone = AWAY.remove(&tid);
    if let Some(operation) = section_call {
        tasks::toggle_section(state, tid, operation);
    }
}

#[inline(always)]
fn tell_back(state: &CpuState, record: &Back) {
    add(&state.ledger.away_ns, record.away_ns);
    if !write(record) {
        add(&state.ledger.lost_notes, 1);
    }
}
