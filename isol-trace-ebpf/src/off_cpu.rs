//! Tasks that were off CPU when their entry's record ended: what the map [`AWAY`] keeps of each of them until
//! it is back in user mode.

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

/// The record of this CPU's span has ended without its owner, which is off CPU: keeps the owner until it is
/// back in user mode. If a filter left the entry out, no record will tell of that.
#[inline(always)]
pub(crate) fn remember_owner_here(state: &CpuState) {
    // If the owner was moved to another CPU, the probe of the move has decided what is kept.
    if state.migrated.get() == 0 {
        remember_owner(state, this_cpu());
    }
}

/// Keeps the owner of the span of `cpu` until it is back in user mode, unless there is nothing to do then.
#[inline(never)]
pub(crate) fn remember_owner(state: &CpuState, cpu: u32) {
    let tid = state.entry.tid.get();
    let away = Away::left(state, cpu);
    if away.is_forgettable() {
        return;
    }
    if AWAY.insert(&tid, &away, 0).is_err() {
        add(&state.ledger.lost_notes, 1);
    } else if away.asleep != 0 && !state.owner_sleeps() {
        // Another CPU has woken the task since `asleep` was read. The program that ran for that wake-up may
        // not have found the task in the map.
        woken(tid, now());
    }
}

/// A task is woken. If it is kept here and slept, the time that it is away begins now.
#[inline(always)]
pub(crate) fn woken(tid: u32, at_ns: u64) {
    if let Some(away) = AWAY.get_ptr_mut(&tid) {
        // SAFETY: the value stays where it is; it is removed only by programs that run where
        // the task runs, and one that is being woken does not run.
        unsafe { (*away).wake(at_ns) };
    }
}

/// A task that does not own this CPU's span is in user mode. If it is kept here, it has returned from an
/// entry whose record had ended before: unless it is left out, a record tells how long it was away. If that
/// entry was the `prctl` that begins or ends its section, the section begins or ends now.
///
/// Nothing is kept of a dead task ([`tasks::thread_died`]). If something is, its number is another task's now: that
/// is a defect, and is counted as one.
#[inline(never)]
pub(crate) fn returned_to_user(state: &CpuState, at_ns: u64, tid: u32, task: u64) {
    // SAFETY: entries of one thread are written and removed only by programs that run
    // where it runs, or after it has died.
    let Some(away) = (unsafe { AWAY.get(&tid) }) else {
        return;
    };
    let mut section_call = away.section_call();
    match away.back(tid, kfield::task_born(task), at_ns) {
        Some(record) if away.notes & AWAY_UNTOLD == 0 => write_back(state, &record),
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
fn write_back(state: &CpuState, record: &Back) {
    add(&state.ledger.away_ns, record.away_ns);
    if !write(record) {
        add(&state.ledger.lost_notes, 1);
    }
}

/// Whether a task is still inside the system call in which it went off CPU.
#[inline(always)]
pub(crate) fn is_in_call(tid: u32) -> bool {
    // SAFETY: read before anything else is done with the map.
    unsafe { AWAY.get(&tid) }.is_some_and(|away| away.in_call != 0)
}

/// A task is moved to a CPU whose last entry was of a task with the same number. If it is that task and still
/// in that entry, the span is its own again, and nothing is kept of it here.
#[inline(always)]
pub(crate) fn migrated_back(state: &CpuState, task: u64, tid: u32, cpu: u32) {
    // SAFETY: entries of one thread are written and removed by programs that run where it runs, or move it.
    let kept = unsafe { AWAY.get(&tid) };
    if state.owner_migrated_back(cpu, kfield::task_born(task), kept) && kept.is_some() {
        let _gone = AWAY.remove(&tid);
    }
}

/// Removes what is kept of a task.
#[inline(always)]
pub(crate) fn forget(tid: u32) {
    let _none = AWAY.remove(&tid);
}
