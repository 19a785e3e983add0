//! Task switches, migrations, deaths and new names.

use isol_trace_common::{
    record::{End, KIN_WORKER, Kin, Kind, Moved},
    send::Via,
    span::{CpuState, Phase, tasks::Switch},
};

use crate::{
    context::{Kernel, current_tid, now, this_cpu},
    derived, kfield,
    maps::{LOST_SENDS, armed, count, is_derived, is_watched, ring_slot, state_of, watched_state},
    off_cpu,
    preempt::unpreempted,
    program::{Arguments, tracepoints},
    ring::write_to,
    send::queued,
    span::{flush, leave},
    strict, tasks,
};

tracepoints! {
    sched_switch, raw_sched_switch => switch;
    sched_migrate_task, raw_sched_migrate_task => migrate;
    sched_waking, raw_sched_waking => waking;
    sched_wakeup_new, raw_sched_wakeup_new => wakeup_new;
    sched_process_exec, raw_sched_process_exec => exec;
    sched_process_exit, raw_sched_process_exit => exit;
    sched_process_fork, raw_sched_process_fork => fork;
    task_rename, raw_task_rename => rename;
}

/// `sched:sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`.
#[inline(always)]
fn switch(arguments: Arguments) {
    let Some(state) = watched_state() else { return };
    let (task, derived) = (arguments.word(2), is_derived(this_cpu()));
    match state.phase() {
        Phase::Open => {}
        // Derived entries: preempted on the way back to user mode.
        Phase::Settling if state.is_owner(current_tid()) => state.resume(),
        _ if derived => return derived::switched_to(state, task, kfield::task_tid(task)),
        _ => return,
    }
    let next = kfield::task_tid(task);
    let comm = if next == 0 {
        [0; 2]
    } else {
        kfield::task_comm(task)
    };
    state.switch(
        &Kernel,
        &Switch {
            previous: current_tid(),
            // A preempted task keeps its state, whatever it is (`__schedule`, kernel/sched/core.c).
            sleeps: arguments.word(0) as u8 == 0 && arguments.word(3) as u32 != 0,
            next,
            next_comm: comm,
        },
    );
    if state.is_owner(next) {
        derived::settle(state);
    } else if derived {
        derived::switched_to(state, task, next);
    }
}

/// `sched:sched_migrate_task(struct task_struct *p, int dest_cpu)`, before the move.
#[inline(always)]
fn migrate(arguments: Arguments) {
    let Some(control) = armed() else { return };
    let (task, to) = (arguments.word(0), arguments.word(1) as u32);
    let Some(from) = kfield::task_cpu(task) else {
        return;
    };
    let (leaves, reaches) = (is_watched(from), is_watched(to));
    if !leaves && !reaches {
        return;
    }
    let tid = kfield::task_tid(task);
    if leaves {
        let Some(state) = state_of(from) else { return };
        if state.is_owner(tid) {
            state.owner_migrated();
            if reaches && state.phase() == Phase::Open {
                off_cpu::remember_owner(state, from);
            }
            // Mostly the CPU's own stopper moves it. Where another CPU does, because it wakes it
            // elsewhere, the span stays open until a task is in user mode here again.
            if from == this_cpu() && state.phase() == Phase::Open {
                leave(state, now(), End::Switched);
            }
        }
        if !reaches {
            // It will be back where nobody looks: how long it was away cannot be known.
            off_cpu::forget(tid);
        }
        // It may die where nobody looks, and its number be another's when it comes here.
        if state.task.tid.get() == tid {
            tasks::forget(state);
        }
    } else {
        // Kept while it went where nobody looks: it has been in user mode since.
        off_cpu::forget(tid);
    }
    let is_user = kfield::is_user(task);
    if reaches {
        let Some(state) = state_of(to) else { return };
        if state.entry.tid.get() == tid {
            off_cpu::migrated_back(state, task, tid, to);
        }
        // It may have entered or left a section since it was here.
        if state.task.tid.get() == tid {
            tasks::forget(state);
        }
        if is_user {
            queued(arguments, Via::Move, to, u64::from(tid), 0);
            tell_kin(state, tasks::generation(control), task, tid);
        }
    }
    if is_user {
        tell_moved(task, tid, from, to);
    }
}

/// Leaves a record of a task that moves, unless a filter leaves it out.
#[inline(always)]
fn tell_moved(task: u64, tid: u32, from: u32, to: u32) {
    let (pid, comm) = (kfield::task_pid(task), kfield::task_comm(task));
    if tasks::is_other_left_out(pid, tid, &comm) {
        return;
    }
    let record = Moved {
        kind: Kind::Moved as u8,
        reserved: [0; 3],
        tid,
        pid,
        from,
        to,
        reserved_tail: 0,
        at_ns: now(),
        comm,
    };
    if !write_to(ring_slot(this_cpu()), &record) {
        count(&LOST_SENDS);
    }
}

/// `sched:sched_waking(struct task_struct *p)`: somebody wakes a task, on the waker's CPU.
#[inline(always)]
fn waking(arguments: Arguments) {
    let Some(control) = armed() else { return };
    let task = arguments.word(0);
    // Where it slept: the wake-up has not chosen a CPU yet (`try_to_wake_up`, kernel/sched/core.c, v6.12).
    let Some(cpu) = kfield::task_cpu(task) else {
        return;
    };
    if !is_watched(cpu) {
        return;
    }
    let Some(state) = state_of(cpu) else { return };
    let tid = kfield::task_tid(task);
    state.wake(tid);
    off_cpu::woken(tid, now());
    // The owner of the entry goes on in it: that is no switch to somebody else.
    if state.entry.tid.get() == tid {
        return;
    }
    queued(arguments, Via::Wake, cpu, u64::from(tid), 0);
    let generation = tasks::generation(control);
    // Its number cannot be another task's by now: that one was made or moved here first, and recorded then.
    if !state.is_parent_recorded(tid, generation) && kfield::is_user(task) {
        tell_kin(state, generation, task, tid);
    }
}

/// `sched:sched_wakeup_new(struct task_struct *p)`: a new task begins, on the CPU that the scheduler has chosen for it
/// (`kernel/sched/core.c:wake_up_new_task`, v6.1 to v7.2). Its parent is the current task, on whichever CPU.
#[inline(always)]
fn wakeup_new(arguments: Arguments) {
    let Some(control) = armed() else { return };
    let task = arguments.word(0);
    let Some(cpu) = kfield::task_cpu(task) else {
        return;
    };
    if !is_watched(cpu) {
        return;
    }
    let Some(state) = state_of(cpu) else { return };
    let tid = kfield::task_tid(task);
    queued(arguments, Via::Fork, cpu, u64::from(tid), 0);
    if kfield::is_user(task) {
        tell_kin(state, tasks::generation(control), task, tid);
    }
}

/// Leaves a record of whose a task is that will run on the CPU of `state`.
#[inline(never)]
fn tell_kin(state: &CpuState, generation: u32, task: u64, tid: u32) {
    let parent = kfield::task_parent(task);
    let record = Kin {
        kind: Kind::Kin as u8,
        flags: if kfield::task_is_worker(task) {
            KIN_WORKER
        } else {
            0
        },
        reserved: 0,
        tid,
        pid: kfield::task_pid(task),
        parent: kfield::task_pid(parent),
        parent_comm: kfield::task_comm(parent),
    };
    if write_to(ring_slot(this_cpu()), &record) {
        state.record_parent(tid, generation);
    } else {
        count(&LOST_SENDS);
    }
}

/// `sched:sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`:
/// whatever the old program meant, the new one has not said so. Its number is the leader's from
/// here on, whichever thread it was (`exec_binprm`, fs/exec.c, v6.12).
#[inline(always)]
fn exec(arguments: Arguments) {
    if armed().is_none() {
        return;
    }
    let (old, tid) = (arguments.word(1) as u32, current_tid());
    tasks::leave_section(old);
    tasks::leave_section(tid);
    strict::exec_changed_tid(old, tid);
    if old == tid {
        return;
    }
    tasks::exec_changed_tid(old, tid);
    let Some(state) = watched_state() else { return };
    unpreempted(|| {
        if state.phase() == Phase::Open && state.is_owner(old) {
            state.entry.tid.set(tid);
            if let Some(control) = armed() {
                tasks::look_up(state, control, tid);
            }
        }
    });
}

/// `sched:sched_process_exit(struct task_struct *p, …)`: the current task dies.
#[inline(always)]
fn exit(_arguments: Arguments) {
    if armed().is_none() {
        return;
    }
    let tid = current_tid();
    if let Some(state) = watched_state() {
        unpreempted(|| dies_here(state, tid));
    }
    // Wherever it dies, and last: until its entry is closed, something may still be kept of it.
    tasks::thread_died(tid);
    strict::thread_died(tid);
}

/// The current task dies on a watched CPU.
#[inline(always)]
fn dies_here(state: &CpuState, tid: u32) {
    // Without a new look-up, a task that gets its number would have its name and section.
    if state.task.tid.get() == tid {
        tasks::forget(state);
    }
    if !state.is_owner(tid) {
        return;
    }
    match state.phase() {
        Phase::Open => leave(state, now(), End::Exited),
        Phase::Settling if derived::dies_in(state) => {
            state.resume();
            leave(state, now(), End::Exited);
        }
        Phase::Settling => flush(state),
        Phase::Closed | Phase::Busy => {}
    }
}

/// `sched:sched_process_fork(struct task_struct *parent, struct task_struct *child)`, before the child runs.
#[inline(always)]
fn fork(arguments: Arguments) {
    strict::forked(arguments.word(0), arguments.word(1));
}

/// `task:task_rename(struct task_struct *task, const char *comm)`, before the change.
#[inline(always)]
fn rename(_arguments: Arguments) {
    tasks::new_generation();
}
