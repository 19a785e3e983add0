//! What is left of a task that a signal ends: who raised it, for which entry, and its user stack.

use isol_trace_common::{
    config::SENDERS_SLOT,
    kill::{
        DURATION_WORD, ENTRY_WORDS, KILL_BY_INTERRUPT, KILL_ENTRY, KILL_FATAL, KILL_SENDER, Kill,
        KillRecord, Raiser, SI_KERNEL, SIGKILL, Signalled, Strike, is_deadly,
    },
    record::Kind,
    span::{CpuState, Phase, TASK_FILTERED},
};

use crate::{
    arch,
    context::{current_ids, current_tid, now, this_cpu},
    kfield,
    maps::{LOST_SENDS, SIGNALLED, STRIKES, count},
    ring::{copy_words, reserve, submit, zero_words},
    tasks, user_stack,
};

/// `SEND_SIG_NOINFO`: from the current task (`include/linux/sched/signal.h`, v6.12).
const FROM_TASK: u64 = 0;
/// `SEND_SIG_PRIV`: from the kernel.
const FROM_KERNEL: u64 = 1;

/// A signal is sent to a task: keeps by whom, if it could end its process.
#[inline(always)]
pub(crate) fn sent(signal: u32, info: u64, task: u64, result: u32) {
    if !is_deadly(signal) || result != 0 || !kfield::is_user(task) {
        return;
    }
    let code = match info {
        FROM_TASK => 0,
        FROM_KERNEL => SI_KERNEL,
        _ => kfield::siginfo_code(info).unwrap_or(SI_KERNEL),
    };
    let ids = current_ids();
    let flags = if arch::in_interrupt() == Some(true) {
        u32::from(KILL_BY_INTERRUPT)
    } else {
        0
    };
    let signalled = Signalled {
        signal,
        code,
        cpu: this_cpu(),
        pid: (ids >> 32) as u32,
        tid: ids as u32,
        flags,
        comm: kfield::task_comm(kfield::current()),
    };
    let _full = SIGNALLED.insert(&kfield::task_pid(task), &signalled, 0);
}

/// A signal is delivered to the current task, whose action it finds at `action`.
#[inline(never)]
pub(crate) fn delivered(state: &CpuState, signal: u32, action: u64) {
    let tid = current_tid();
    let task = kfield::current();
    let is_default = kfield::signal_handler(action) == Some(0);
    // A thread whose process is being ended sees SIGKILL, whatever ends it.
    let signal = match signal {
        SIGKILL => match kfield::ending_signal(task) {
            Some(0) => return,
            Some(ending) => ending,
            None => signal,
        },
        _ => signal,
    };
    let is_fatal = is_default && is_deadly(signal);
    // SAFETY: entries of one thread are written and removed by programs that run where it runs.
    let strike = unsafe { STRIKES.get(&tid) }.filter(|strike| u32::from(strike.signal) == signal);
    if strike.is_none() && (!is_fatal || is_left_out(state, tid)) {
        return;
    }
    tell(state, tid, signal, is_fatal, strike);
    if strike.is_some() {
        let _gone = STRIKES.remove(&tid);
    }
}

/// Whether a filter leaves the current task out.
#[inline(always)]
fn is_left_out(state: &CpuState, tid: u32) -> bool {
    if state.task.tid.get() == tid {
        return state.task.flags.get() & TASK_FILTERED != 0;
    }
    // It has slept in the kernel while another one was here, and has not left user mode again.
    let task = kfield::current();
    tasks::is_other_left_out(kfield::task_pid(task), tid, &kfield::task_comm(task))
}

#[inline(always)]
fn tell(state: &CpuState, tid: u32, signal: u32, is_fatal: bool, strike: Option<&Strike>) {
    let ids = current_ids();
    let (pid, cpu, at_ns) = ((ids >> 32) as u32, this_cpu(), now());
    let mut kill = Kill {
        kind: Kind::Kill as u8,
        signal: signal as u8,
        raiser: Raiser::Signal as u8,
        flags: if is_fatal { KILL_FATAL } else { 0 },
        tid,
        pid,
        cpu,
        at_ns,
        entry_cpu: cpu,
        comm: kfield::task_comm(kfield::current()),
        ..Kill::default()
    };
    let is_in_entry = state.phase() == Phase::Open && state.is_owner(tid);
    let opened_ns = state.entry.opened_ns.get();
    // Where the task is still in the entry, more is known of it than when it was struck.
    let mut entry = (is_in_entry && strike.is_none_or(|it| it.opened_ns == opened_ns))
        .then(|| core::ptr::from_ref(&state.entry).cast::<u64>());
    let mut lasted_ns = at_ns.saturating_sub(opened_ns);
    if let Some(strike) = strike {
        kill.raiser = strike.raiser;
        kill.opened_ns = strike.opened_ns;
        kill.entry_cpu = strike.cpu;
        if entry.is_none() {
            entry = Some((&raw const strike.entry).cast());
            lasted_ns = strike.entry[DURATION_WORD];
        }
    } else if is_in_entry {
        kill.opened_ns = opened_ns;
    }
    if entry.is_some() {
        kill.flags |= KILL_ENTRY;
    }
    // SAFETY: copied out before anything else is done with the map.
    if let Some(&by) = unsafe { SIGNALLED.get(&pid) }
        && by.signal == signal
    {
        kill.flags |= KILL_SENDER | by.flags as u8;
        kill.code = by.code;
        kill.sender_cpu = by.cpu;
        kill.sender_pid = by.pid;
        kill.sender_tid = by.tid;
        kill.sender_comm = by.comm;
    }
    if !write(&kill, entry, lasted_ns) {
        count(&LOST_SENDS);
    }
    user_stack::leave(at_ns, ids, cpu);
}

/// Writes the record of a kill. `entry`: a [`KillRecord::entry`], which has lasted for `lasted_ns`.
#[inline(always)]
fn write(kill: &Kill, entry: Option<*const u64>, lasted_ns: u64) -> bool {
    // Not to this CPU's own ring: that may be full of what the task did before.
    let Some(room) = reserve(SENDERS_SLOT, size_of::<KillRecord>()) else {
        return false;
    };
    // SAFETY: the ring's room is the record's size, and every word of it is written; what `entry`
    // points to is as long as the record's part.
    unsafe {
        copy_words(core::ptr::from_ref(kill).cast(), room, KILL_WORDS);
        let to = room.add(KILL_WORDS);
        match entry {
            Some(from) => {
                copy_words(from, to, ENTRY_WORDS);
                to.add(DURATION_WORD).write_volatile(lasted_ns);
            }
            None => zero_words(to, ENTRY_WORDS),
        }
    }
    submit(room);
    true
}

const KILL_WORDS: usize = size_of::<Kill>() / 8;
