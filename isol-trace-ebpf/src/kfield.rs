//! The only reads of kernel structures. Offsets come from the running kernel's BTF.

use aya_ebpf::bindings::task_struct;
use aya_ebpf::helpers::{
    bpf_probe_read_kernel,
    generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
};
use isol_trace_common::{
    config::ABSENT,
    span::life::{PF_KTHREAD, has_user_mode, is_worker},
};

use crate::{context::current_tid, maps::config};

/// The user registers that the current task saved when it last left user mode.
#[derive(Clone, Copy)]
pub(crate) struct Registers(*const u8);

/// The current task, by a pointer whose type the verifier knows.
#[derive(Clone, Copy)]
pub(crate) struct CurrentTask(*mut task_struct);

impl CurrentTask {
    /// Asks the kernel.
    #[inline(always)]
    pub(crate) fn get() -> Self {
        // SAFETY: the helper has no requirements.
        Self(unsafe { bpf_get_current_task_btf() }.cast())
    }

    /// Its thread number: one load, where the helper for it is a call.
    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        let offset = config!(offsets.task_pid);
        if offset == ABSENT {
            return current_tid();
        }
        // SAFETY: the pointer is typed for the verifier, which checks the constant offset against task_struct.
        unsafe {
            self.0
                .cast::<u8>()
                .add(offset as usize)
                .cast::<u32>()
                .read_volatile()
        }
    }

    /// The registers that it saved.
    #[inline(always)]
    pub(crate) fn registers(self) -> Registers {
        // SAFETY: the helper takes the current task.
        Registers(unsafe { bpf_task_pt_regs(self.0) } as *const u8)
    }
}

impl Registers {
    /// The current task's.
    #[inline(always)]
    pub(crate) fn of_current() -> Self {
        CurrentTask::get().registers()
    }

    /// The register at an offset. A kernel without the field reads 0.
    #[inline(always)]
    pub(crate) fn at(self, offset: u32) -> u64 {
        if offset == ABSENT {
            return 0;
        }
        // SAFETY: the helper's pointer is typed for the verifier, which checks the constant offset against pt_regs.
        unsafe { self.0.add(offset as usize).cast::<u64>().read_volatile() }
    }

    /// Instruction pointer.
    #[inline(always)]
    pub(crate) fn ip(self) -> u64 {
        self.at(config!(offsets.regs_ip))
    }

    /// Stack pointer.
    #[inline(always)]
    pub(crate) fn sp(self) -> u64 {
        self.at(config!(offsets.regs_sp))
    }

    /// The register that holds the frame pointer, in programs that have one.
    #[inline(always)]
    pub(crate) fn bp(self) -> u64 {
        self.at(config!(offsets.regs_bp))
    }

    /// The system call's number; `None` where the entry is none, or hides it.
    #[inline(always)]
    pub(crate) fn syscall(self) -> Option<u32> {
        if config!(offsets.regs_number) == ABSENT {
            return None;
        }
        let number = self.at(config!(offsets.regs_number)).cast_signed();
        (number >= 0).then_some(number as u32)
    }

    /// What a system call returns to its caller, at its end; `None` where this kernel does not show it.
    #[inline(always)]
    pub(crate) fn result(self) -> Option<i64> {
        if config!(offsets.regs_result) == ABSENT {
            return None;
        }
        Some(self.at(config!(offsets.regs_result)).cast_signed())
    }

    /// First system-call argument.
    #[inline(always)]
    pub(crate) fn first_argument(self) -> u64 {
        self.at(config!(offsets.regs_args[0]))
    }

    /// The six system-call arguments.
    #[inline(always)]
    pub(crate) fn arguments(self, store: impl Fn(usize, u64)) {
        store(0, self.at(config!(offsets.regs_args[0])));
        store(1, self.at(config!(offsets.regs_args[1])));
        store(2, self.at(config!(offsets.regs_args[2])));
        store(3, self.at(config!(offsets.regs_args[3])));
        store(4, self.at(config!(offsets.regs_args[4])));
        store(5, self.at(config!(offsets.regs_args[5])));
    }
}

/// Reads a field of a structure at an address that came as an argument.
#[inline(always)]
pub(crate) fn read<T>(address: u64, offset: u32) -> Option<T> {
    if offset == ABSENT || address == 0 {
        return None;
    }
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel((address + u64::from(offset)) as *const T) }.ok()
}

/// `timer_list.function`.
#[inline(always)]
pub(crate) fn timer_function(timer: u64) -> u64 {
    read(timer, config!(offsets.timer_function)).unwrap_or(0)
}

/// `hrtimer.function`.
#[inline(always)]
pub(crate) fn hrtimer_function(timer: u64) -> u64 {
    read(timer, config!(offsets.hrtimer_function)).unwrap_or(0)
}

/// `TASK_TOMBSTONE`: the owner of events that the kernel opened for itself (`kernel/events/core.c`, v6.1 to v7.2).
const TASK_TOMBSTONE: u64 = u64::MAX;

/// The task that opened the perf event whose timer this is; 0 where it has ended, where the kernel itself opened
/// the event, and where this kernel does not show it.
///
/// An event that a child inherited belongs to nobody; the one that it was inherited from, which is
/// always the first of them, stays as long (`inherit_event`). A task lets go of its events before it dies, and
/// its memory stays as long as somebody may read without a lock: so does the kernel's own
/// `perf_remove_from_owner` (`kernel/events/core.c`, v6.12).
#[inline(always)]
pub(crate) fn perf_event_owner(timer: u64) -> u64 {
    let offset = config!(offsets.perf_event_timer);
    if offset == ABSENT {
        return 0;
    }
    let own = timer.wrapping_sub(u64::from(offset));
    let first = read(own, config!(offsets.perf_event_parent)).unwrap_or(0);
    let event = if first == 0 { own } else { first };
    let owner = read(event, config!(offsets.perf_event_owner)).unwrap_or(0);
    if owner == TASK_TOMBSTONE { 0 } else { owner }
}

/// `work_struct.func`.
#[inline(always)]
pub(crate) fn work_function(work: u64) -> u64 {
    read(work, config!(offsets.work_function)).unwrap_or(0)
}

/// `irqaction.handler`.
#[inline(always)]
pub(crate) fn irqaction_handler(action: u64) -> u64 {
    read(action, config!(offsets.irqaction_handler)).unwrap_or(0)
}

/// `kernel_siginfo.si_code`.
#[inline(always)]
pub(crate) fn siginfo_code(info: u64) -> Option<i32> {
    read(info, config!(offsets.siginfo_code))
}

/// `k_sigaction.sa.sa_handler`: 0 for the default action.
#[inline(always)]
pub(crate) fn signal_handler(action: u64) -> Option<u64> {
    read(action, config!(offsets.sigaction_handler))
}

/// `task_struct.signal.group_exit_code`: the signal that ends the process; 0 where its other threads end
/// because one of them has called `exit_group` or becomes another program. What all of these threads see
/// is `SIGKILL` (`kernel/signal.c:get_signal` and `complete_signal`, v6.12). `None` where this kernel does
/// not show it.
#[inline(always)]
pub(crate) fn ending_signal(task: u64) -> Option<u32> {
    let code: u32 = follow(task, config!(offsets.task_signal))
        .and_then(|signal| read(signal, config!(offsets.signal_exit_code)))?;
    Some(code & 0x7f)
}

/// `task_struct.signal.live`: whether all threads of a dying task's process have begun to die. It is counted
/// down before `sched_process_exit` (`kernel/exit.c:do_exit`, v6.1 to v7.2). `None` where this kernel does
/// not show it.
#[inline(always)]
pub(crate) fn is_process_dead(task: u64) -> Option<bool> {
    let live: u32 = follow(task, config!(offsets.task_signal))
        .and_then(|signal| read(signal, config!(offsets.signal_live)))?;
    Some(live == 0)
}

/// `task_struct.start_time`: when it was forked (`kernel/fork.c:copy_process`, v6.1 to v7.2); of a thread
/// that becomes another program, when its process was (`fs/exec.c:de_thread`). 0 where this kernel does not
/// show it: it may have been there always.
#[inline(always)]
pub(crate) fn task_born(task: u64) -> u64 {
    read(task, config!(offsets.task_start_time)).unwrap_or(0)
}

/// `task_struct.pid`: the thread.
#[inline(always)]
pub(crate) fn task_tid(task: u64) -> u32 {
    read(task, config!(offsets.task_pid)).unwrap_or(0)
}

/// `task_struct.tgid`: the process; 0 where this kernel does not show it.
#[inline(always)]
pub(crate) fn task_pid(task: u64) -> u32 {
    read(task, config!(offsets.task_tgid)).unwrap_or(0)
}

/// The CPU that a task is on.
#[inline(always)]
pub(crate) fn task_cpu(task: u64) -> Option<u32> {
    read(task, config!(offsets.task_cpu))
}

/// `task_struct.comm` as two words.
#[inline(always)]
pub(crate) fn task_comm(task: u64) -> [u64; 2] {
    read(task, config!(offsets.task_comm)).unwrap_or([0; 2])
}

/// `task_struct.real_parent`; 0 where this kernel does not show it. Its memory stays while somebody reads without a
/// lock (`kernel/exit.c:release_task`, v6.12, frees it after a grace period).
#[inline(always)]
pub(crate) fn task_parent(task: u64) -> u64 {
    read(task, config!(offsets.task_real_parent)).unwrap_or(0)
}

/// Whether a task is a worker of the kernel's in a process of user space.
#[inline(always)]
pub(crate) fn task_is_worker(task: u64) -> bool {
    is_worker(read(task, config!(offsets.task_flags)).unwrap_or(0))
}

/// Follows a pointer in a structure.
#[inline(always)]
fn follow(address: u64, offset: u32) -> Option<u64> {
    read(address, offset).filter(|&target: &u64| target != 0)
}

/// `call_single_data.func`; 0 where this kernel does not show it.
#[inline(always)]
pub(crate) fn csd_function(csd: u64) -> u64 {
    read(csd, config!(offsets.csd_function)).unwrap_or(0)
}

/// Whether a `struct cpumask` has a CPU.
#[inline(always)]
pub(crate) fn mask_has(mask: u64, cpu: u32) -> bool {
    let word: Option<u64> = read(mask + 8 * u64::from(cpu / 64), 0);
    word.is_some_and(|word| word >> (cpu % 64) & 1 != 0)
}

/// The CPU whose worker pool a work item is queued on; `None` for an unbound one.
#[inline(always)]
pub(crate) fn queue_cpu(pool_workqueue: u64) -> Option<u32> {
    let pool = follow(pool_workqueue, config!(offsets.pwq_pool))?;
    let cpu: i32 = read(pool, config!(offsets.pool_cpu))?;
    (cpu >= 0).then_some(cpu as u32)
}

/// `TIMER_CPUMASK` (`include/linux/timer.h`, v6.1 to v7.2).
const TIMER_CPU_BITS: u32 = 0x3_ffff;

/// The CPU that a timer is armed on.
#[inline(always)]
pub(crate) fn timer_cpu(timer: u64) -> Option<u32> {
    let flags: u32 = read(timer, config!(offsets.timer_flags))?;
    Some(flags & TIMER_CPU_BITS)
}

/// The CPU that a high-resolution timer is armed on.
#[inline(always)]
pub(crate) fn hrtimer_cpu(timer: u64) -> Option<u32> {
    let clock = follow(timer, config!(offsets.hrtimer_base))?;
    let base = follow(clock, config!(offsets.clock_base_cpu_base))?;
    read(base, config!(offsets.cpu_base_cpu))
}

/// When a high-resolution timer is due, `CLOCK_MONOTONIC`; 0 where this kernel does not show it.
#[inline(always)]
pub(crate) fn hrtimer_due(timer: u64) -> u64 {
    let Some(clock) = follow(timer, config!(offsets.hrtimer_base)) else {
        return 0;
    };
    let due: u64 = read(timer, config!(offsets.hrtimer_expires)).unwrap_or(0);
    due.wrapping_sub(read(clock, config!(offsets.clock_base_offset)).unwrap_or(0))
}

/// The current task's `task_struct`.
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: the helper has no requirements.
    unsafe { bpf_get_current_task_btf() as u64 }
}

/// Whether the current task is a process's: neither idle nor a kernel thread.
#[inline(always)]
pub(crate) fn current_is_user(tid: u32) -> bool {
    tid != 0 && is_user(current())
}

/// Whether a task has a user mode that it has left or is going to: it is neither idle nor a thread of the
/// kernel's, and it is not dying.
#[inline(always)]
pub(crate) fn is_of_user_mode(task: u64, tid: u32) -> bool {
    let flags: u32 = read(task, config!(offsets.task_flags)).unwrap_or(PF_KTHREAD);
    has_user_mode(tid, flags)
}

/// Whether a task other than the idle one is no kernel thread.
#[inline(always)]
pub(crate) fn is_user(task: u64) -> bool {
    let flags: u32 = read(task, config!(offsets.task_flags)).unwrap_or(PF_KTHREAD);
    flags & PF_KTHREAD == 0
}
