//! Tasks inside a span: switches to other tasks and back, wake-ups of the span's owner (the task that left
//! user mode), and whose parent was recorded last.

use super::{CpuState, Env, IDLE, NO_SLOT, NOTE_SLEPT, NOTE_SWITCHED_OUT, Phase};
use crate::activity::Activity;

/// A task switch on this CPU.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// The thread that stops running.
    pub previous: u32,
    /// Whether that thread sleeps or is dead. If not, it is preempted.
    pub sleeps: bool,
    /// The thread that runs next; 0 is the idle task.
    pub next: u32,
    /// The next thread's name, as two words of 64 bits.
    pub next_comm: [u64; 2],
}

/// Both in one word, which one store writes: several CPUs may wake tasks of this CPU at the same time.
#[inline(always)]
const fn thread_and_generation(tid: u32, generation: u32) -> u64 {
    (generation as u64) << 32 | tid as u64
}

impl CpuState {
    /// A thread that slept on this CPU is woken. The waker may be on another CPU.
    #[inline(always)]
    pub fn wake(&self, tid: u32) {
        if self.asleep.get() == tid {
            self.asleep.set(0);
        }
    }

    /// Whether this thread is the last one whose parent was recorded for this CPU, and the generation (of
    /// names and sections) is still the same. One thread is enough to remember: mostly the same one is woken
    /// again and again.
    #[must_use]
    #[inline(always)]
    pub fn is_parent_recorded(&self, tid: u32, generation: u32) -> bool {
        self.parent_recorded.get() == thread_and_generation(tid, generation)
    }

    /// Remembers that the parent of a thread that is to run on this CPU was recorded.
    #[inline(always)]
    pub fn record_parent(&self, tid: u32, generation: u32) {
        self.parent_recorded
            .set(thread_and_generation(tid, generation));
    }

    /// Whether the owner of the span sleeps.
    #[must_use]
    #[inline(always)]
    pub fn owner_sleeps(&self) -> bool {
        self.asleep.get() == self.entry.tid.get()
    }

    /// The CPU switches from one task to another inside the span. While another task than the owner runs,
    /// that is an activity; while the idle task runs, the CPU idles.
    #[inline(always)]
    pub fn switch(&self, env: &impl Env, switch: &Switch) {
        if self.phase() != Phase::Open {
            return;
        }
        let owner = self.entry.tid.get();
        if self.is_owner(switch.previous) {
            self.note(NOTE_SWITCHED_OUT);
            if switch.sleeps {
                self.note(NOTE_SLEPT);
                self.asleep.set(owner);
            }
        } else if switch.previous == 0 {
            self.pop(env, IDLE);
        } else {
            self.pop(env, Activity::Switch as u32);
        }
        if self.is_owner(switch.next) {
            self.asleep.set(0);
            return;
        }
        if switch.next == 0 {
            self.push(env, IDLE, NO_SLOT);
        } else {
            let slot = self.take_slot(env, Activity::Switch, 0, switch.next, switch.next_comm);
            self.push(env, Activity::Switch as u32, slot);
        }
    }
}
