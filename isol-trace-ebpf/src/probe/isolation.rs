//! What the kernel's own task isolation tells, where it has it
//! (`include/trace/events/task_isolation.h` of the series in `kernel/patches`).

use isol_trace_common::{
    kill::{SIGKILL, Section},
    span::Phase,
};

use crate::{
    context::current_tid,
    derived,
    maps::{STRIKES, armed, watched_state},
    program::{Arguments, tracepoints},
    strict, tasks,
};

tracepoints! {
    task_isolation_enter, raw_task_isolation_enter => enter;
    task_isolation_breach, raw_task_isolation_breach => breach;
    task_isolation_exit, raw_task_isolation_exit => exit;
}

/// `TASK_ISOLATION_LOG`: a breach leads to no signal.
const LOG: u32 = 0;

/// `TASK_ISOLATION_NMI`: NMIs lead to one as well.
const NMI: u32 = 1 << 2;

/// `task_isolation:task_isolation_enter(struct task_struct *task, u32 mode, u32 flags, u32 quiesce, u32 signal)`,
/// for the current task.
#[inline(always)]
fn enter(arguments: Arguments) {
    if armed().is_none() {
        return;
    }
    let (mode, flags) = (arguments.word(1) as u32, arguments.word(2) as u32);
    let signal = match (mode, arguments.word(4) as u32) {
        (LOG, _) => 0,
        (_, 0) => SIGKILL,
        (_, signal) => signal,
    };
    let section = Section::activated(signal, flags & NMI != 0);
    let tid = current_tid();
    tasks::set_section(tid, Some(section));
    // Of a breach that no signal followed, because the task was to get one of its own anyway.
    let _none = STRIKES.remove(&tid);
    if let Some(state) = watched_state() {
        tasks::forget(state);
    }
}

/// `task_isolation:task_isolation_breach(struct task_struct *task, unsigned long ip, int nr, bool nmi)`,
/// for the current task, in the entry that is the breach. That of an NMI passes no mark, and its handlers
/// are yet to run (`irqentry_nmi_enter`, kernel/entry/common.c): it is opened here, while the section is
/// still what the breach ends.
#[inline(always)]
fn breach(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    let tid = current_tid();
    let nmi = arguments.word(3) as u8 != 0;
    if nmi {
        derived::open_ahead_of_handlers(state);
    }
    let Some(section) = tasks::section(tid) else {
        return;
    };
    if section.signal() == 0 || (nmi && !section.counts_nmis()) {
        return;
    }
    let phase = state.phase();
    let is_under_way = phase == Phase::Open || (nmi && phase == Phase::Settling);
    if is_under_way && state.is_owner(tid) {
        strict::kernel_found_breach(state, tid, section.signal());
    }
}

/// `task_isolation:task_isolation_exit(struct task_struct *task, enum task_isolation_end end)`,
/// for the current task.
#[inline(always)]
fn exit(_arguments: Arguments) {
    if armed().is_none() {
        return;
    }
    let tid = current_tid();
    if tasks::section(tid).is_none() {
        return;
    }
    tasks::set_section(tid, None);
    if let Some(state) = watched_state() {
        tasks::forget(state);
    }
}
