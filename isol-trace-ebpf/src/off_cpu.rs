//! Tasks whose entry ended while another task ran: what is kept of each until it is in user mode again.

use isol_trace_common::{
    ledger::add,
    record::Back,
    span::{
        CpuState,
        away::{AWAY_UNTOLD, Away},
    },
};

use crate::{
    context::{now, this_cpu},
    kfield,
    maps::AWAY,
    ring::write,
    tasks,
};

/// Keeps when the owner of this CPU's span was preempted, for its return. An entry that a filter
/// left out has no record that a return could belong to.
#[inline(always)]
pub(crate) fn keep_here(state: &CpuState) {
    // Of one that goes to another CPU this was done when it did.
    if state.migrated.get() == 0 {
        keep(state, this_cpu());
    }
}

/// Keeps what there is to do when the owner of the span of a CPU is back.
#[inline(never)]
pub(crate) fn keep(state: &CpuState, cpu: u32) {
    let tid = state.entry.tid.get();
    let away = Away::left(state, cpu);
    if away.is_forgettable() {
        return;
    }
    if AWAY.insert(&tid, &away, 0).is_err() {
        add(&state.ledger.lost_notes, 1);
    } else if away.asleep != 0 && !state.owner_sleeps() {
        // Woken by another CPU since the flag was read; its program may not have found the task here.
        woken(tid, now());
    }
}

/// Somebody wakes a task.
#[inline(always)]
pub(crate) fn woken(tid: u32, at_ns: u64) {
    if let Some(away) = AWAY.get_ptr_mut(&tid) {
        // SAFETY: the value stays where it is; it is removed only by programs that run where
        // the task runs, and one that is being woken does not run.
        unsafe { (*away).wake(at_ns) };
    }
}

/// A task that owns no span here is in user mode again: perhaps it had been preempted, even in the
/// call that begins or ends its section.
///
/// Nothing of a dead task is kept ([`tasks::gone`]). If it is all the same, then its number is another
/// task's now: that is a defect, and counted as one.
#[inline(never)]
pub(crate) fn resumed(state: &CpuState, at_ns: u64, tid: u32, task: u64) {
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

/// Whether a task is inside the system call in which it was preempted.
#[inline(always)]
pub(crate) fn is_in_call(tid: u32) -> bool {
    // SAFETY: read before anything else is done with the map.
    unsafe { AWAY.get(&tid) }.is_some_and(|away| away.in_call != 0)
}

/// A task is moved to a CPU whose last entry was of its number.
#[inline(always)]
pub(crate) fn comes_back(state: &CpuState, task: u64, tid: u32, cpu: u32) {
    // SAFETY: entries of one thread are written and removed by programs that run where it runs, or move it.
    let kept = unsafe { AWAY.get(&tid) };
    if state.owner_comes_back(cpu, kfield::task_born(task), kept) && kept.is_some() {
        let _gone = AWAY.remove(&tid);
    }
}

/// Nothing is kept of a task any more.
#[inline(always)]
pub(crate) fn forget(tid: u32) {
    let _none = AWAY.remove(&tid);
}
