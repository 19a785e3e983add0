//! Who the task is: its name, whether a filter leaves it out, its isolated section.

use core::ptr::addr_of;

use aya_ebpf::helpers::bpf_get_current_comm;
use isol_trace_common::{
    config::{
        Control, FILTER_COMM, FILTER_PID, FILTER_SECTION, PR_TASK_ISOLATION, SECTIONS_TOGETHER,
        isolation,
    },
    kill::Section,
    ledger::add,
    record::{Kind, Task},
    span::{CpuState, TASK_FILTERED, TASK_IN_SECTION, TASK_OWN, TASK_STRUCK},
};

use crate::{
    context::current_ids,
    kfield::{self, Registers},
    maps::{AWAY, COMMS, CONTROL, PIDS, SECTIONS, SIGNALLED, config},
    ring::write,
};

/// The present generation of names and sections.
#[inline(always)]
pub(crate) fn generation(control: &Control) -> u32 {
    // SAFETY: other programs change the word; a plain word is read whole.
    unsafe { addr_of!(control.generation).read_volatile() }
}

/// Names and sections have changed: what is cached is stale, on every CPU.
#[inline(always)]
pub(crate) fn new_generation() {
    let Some(control) = CONTROL.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the pointer is of a live map value. Two changes at the same moment may
    // count as one: either way the number differs from what is cached.
    unsafe {
        let generation = core::ptr::addr_of_mut!((*control).generation);
        generation.write_volatile(generation.read_volatile().wrapping_add(1));
    }
}

/// Where the section of a thread is kept.
#[inline(always)]
fn section_place(tid: u32) -> Option<*mut u16> {
    let together = SECTIONS.get_ptr_mut(tid / SECTIONS_TOGETHER)?;
    // SAFETY: the value has a word for each of the threads.
    Some(unsafe {
        together
            .cast::<u16>()
            .add((tid % SECTIONS_TOGETHER) as usize)
    })
}

/// The section that a thread is in.
#[inline(always)]
pub(crate) fn section(tid: u32) -> Option<Section> {
    // SAFETY: the thread itself may change the word meanwhile; a plain word is read whole.
    let word = unsafe { section_place(tid)?.read_volatile() };
    (word != 0).then_some(Section(word))
}

/// Keeps the section that a thread is in: the current one, or the one whose number it had or has. The
/// map has room for every number.
#[inline(always)]
pub(crate) fn set_section(tid: u32, section: Option<Section>) {
    if let Some(place) = section_place(tid) {
        // SAFETY: the pointer is of a live map value, whose word only programs of the thread change.
        unsafe { place.write_volatile(section.map_or(0, |it| it.0)) };
    }
}

/// Fills the task cache and announces the task to the reader.
#[inline(never)]
pub(crate) fn look_up(state: &CpuState, control: &Control, tid: u32) {
    let generation = generation(control);
    let pid = (current_ids() >> 32) as u32;
    let comm = bpf_get_current_comm().unwrap_or([0; 16]);
    let mut flags = 0;
    if let Some(section) = section(tid) {
        flags |= TASK_IN_SECTION;
        if section.is_struck() {
            flags |= TASK_STRUCK;
        }
    }
    if pid == config!(own_pid) {
        flags |= TASK_OWN;
    }
    // Names are padded with zeros by the kernel (`strscpy_pad`), so that whole words compare.
    // SAFETY: sixteen bytes are two words; the helper's buffer is on the stack, read unaligned.
    let name = unsafe { comm.as_ptr().cast::<[u64; 2]>().read_unaligned() };
    if is_left_out(pid, tid, &name, flags) {
        flags |= TASK_FILTERED;
    }
    state.task.flags.set(flags);
    state.task.tid.set(tid);
    state.task.generation.set(generation);
    if flags & TASK_FILTERED != 0 {
        return;
    }
    let record = Task {
        kind: Kind::Task as u8,
        reserved: [0; 3],
        tid,
        pid,
        reserved_tail: 0,
        comm,
    };
    if !write(&record) {
        add(&state.ledger.lost_notes, 1);
        // Announced again at the next entry.
        state.task.tid.set(0);
    }
}

/// Whether a filter leaves a task out that need not be the current one.
#[inline(always)]
pub(crate) fn is_other_left_out(pid: u32, tid: u32, comm: &[u64; 2]) -> bool {
    let flags = if section(tid).is_some() {
        TASK_IN_SECTION
    } else {
        0
    };
    is_left_out(pid, tid, comm, flags)
}

#[inline(always)]
fn is_left_out(pid: u32, tid: u32, comm: &[u64; 2], flags: u32) -> bool {
    let filters = config!(filters);
    if filters & FILTER_SECTION != 0 && flags & TASK_IN_SECTION == 0 {
        return true;
    }
    if filters & FILTER_PID != 0 {
        // SAFETY: the values are never read.
        let named = unsafe { PIDS.get(&pid).is_some() || PIDS.get(&tid).is_some() };
        if !named {
            return true;
        }
    }
    if filters & FILTER_COMM != 0 {
        // SAFETY: the value is never read.
        if unsafe { COMMS.get(comm) }.is_none() {
            return true;
        }
    }
    false
}

/// `prctl(PR_TASK_ISOLATION, …)`: the task says that it means to be isolated, or that it no
/// longer does.
#[inline(always)]
pub(crate) fn is_section_call(number: u32, registers: Registers) -> bool {
    number == config!(prctl_number) && registers.first_argument() == PR_TASK_ISOLATION
}

/// A thread is in no section any more.
#[inline(always)]
pub(crate) fn leave_section(tid: u32) {
    if section(tid).is_some() {
        set_section(tid, None);
        new_generation();
    }
}

/// The current thread dies: its number, and its process's if it is the last of it, will be another's.
/// Nothing stays under them.
#[inline(always)]
pub(crate) fn thread_died(tid: u32) {
    set_section(tid, None);
    let _none = AWAY.remove(&tid);
    let task = kfield::current();
    let pid = kfield::task_pid(task);
    let is_process_dead = kfield::is_process_dead(task) == Some(true);
    if is_process_dead {
        let _none = SIGNALLED.remove(&pid);
    }
    if config!(filters) & FILTER_PID != 0 && (is_process_dead || tid != pid) {
        let _none = PIDS.remove(&tid);
        if is_process_dead {
            let _none = PIDS.remove(&pid);
        }
    }
}

/// The current thread, which was `old`, has its leader's number from here on, whose thread has died
/// (`fs/exec.c:de_thread`, v6.12). What is kept of it goes on under that number.
#[inline(always)]
pub(crate) fn exec_changed_tid(old: u32, tid: u32) {
    // SAFETY: copied out before anything else is done with the map.
    if let Some(&away) = unsafe { AWAY.get(&old) } {
        let _full = AWAY.insert(&tid, &away, 0);
        let _gone = AWAY.remove(&old);
    }
    if config!(filters) & FILTER_PID != 0 && PIDS.remove(&old).is_ok() {
        let _full = PIDS.insert(&tid, &1, 0);
    }
}

/// `EAGAIN` (`include/uapi/asm-generic/errno-base.h`): the kernel could not bring the CPU to rest.
const TRY_AGAIN: i64 = -11;

/// A section begins or ends as its `prctl` returns, which the thread may do long after its entry has
/// ended, and on another CPU.
///
/// Operations that configure or tell something change nothing. On a kernel without task isolation a
/// task that has no section and "leaves" begins one: operations mean nothing there, and programs may
/// leave them out.
#[inline(never)]
pub(crate) fn toggle_section(state: &CpuState, tid: u32, operation: u64) {
    let known = section(tid);
    let inside = known.is_some();
    match operation {
        isolation::LEAVE if inside || config!(knows_isolation) != 0 => {
            set_section(tid, None);
        }
        isolation::FIRST_QUIET..=isolation::LAST_QUIET => return,
        // Entered anew: what strict mode has answered is past. What the kernel has told of its own
        // activation stays.
        _ if inside => {
            if config!(knows_isolation) != 0 || !known.is_some_and(Section::is_struck) {
                return;
            }
            set_section(tid, Some(Section::PLAIN));
        }
        isolation::ENTER if Registers::of_current().result() == Some(TRY_AGAIN) => return,
        _ => set_section(tid, Some(Section::PLAIN)),
    }
    forget(state);
}

/// The current task is looked up anew at its next entry.
#[inline(always)]
pub(crate) fn forget(state: &CpuState) {
    state.task.tid.set(0);
}
