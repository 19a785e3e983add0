//! Which tasks have a user mode to leave, and whether a number still means the same task.
//!
//! Thread numbers are used again. Whatever is kept under one must go when its task dies, and where that
//! was missed, the task's birth tells: nothing of before it is its own.

/// `include/linux/sched.h` (v6.1 to v7.2): the task is dying, and never goes to user mode again.
/// Set by `exit_signals`, before `sched_process_exit` is traced (`kernel/exit.c:do_exit`).
pub const PF_EXITING: u32 = 0x0000_0004;
/// A worker of `io_uring`: a thread of a process that is never in user mode.
pub const PF_IO_WORKER: u32 = 0x0000_0010;
/// Any such worker of the kernel's (v6.4 and later; unused before).
pub const PF_USER_WORKER: u32 = 0x0000_4000;
/// A kernel thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// Whether a task with these `task_struct.flags` is, or will be, in user mode: 0 is the idle task's number.
#[must_use]
#[inline(always)]
pub const fn has_user_mode(tid: u32, flags: u32) -> bool {
    tid != 0 && flags & (PF_EXITING | PF_IO_WORKER | PF_USER_WORKER | PF_KTHREAD) == 0
}

/// Whether a task that was not born before `born_ns` can be the one that did something at `at_ns`
/// (`CLOCK_MONOTONIC`). Where the kernel does not show its birth that is 0: it may be of any age.
///
/// A plain number: of an `Option` LLVM compares what may not be there, and the verifier refuses that.
#[must_use]
#[inline(always)]
pub const fn lived(born_ns: u64, at_ns: u64) -> bool {
    born_ns <= at_ns
}

/// Whether a task with these `task_struct.flags` is a worker of the kernel's in a process of user space.
#[must_use]
#[inline(always)]
pub const fn is_worker(flags: u32) -> bool {
    flags & (PF_IO_WORKER | PF_USER_WORKER) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_task_of_user_space_has_a_user_mode() {
        assert!(has_user_mode(7, 0));
        assert!(has_user_mode(7, 0x0040_0100), "other flags say nothing");
        assert!(!has_user_mode(0, 0), "the idle task");
        for flag in [PF_EXITING, PF_IO_WORKER, PF_USER_WORKER, PF_KTHREAD] {
            assert!(!has_user_mode(7, flag | 0x0040_0000), "{flag:#x}");
        }
    }

    #[test]
    fn a_worker_is_no_kernel_thread() {
        assert!(is_worker(PF_IO_WORKER) && is_worker(PF_USER_WORKER | 1));
        assert!(!is_worker(PF_KTHREAD) && !is_worker(0));
    }

    #[test]
    fn nobody_did_anything_before_his_birth() {
        assert!(lived(0, 5) && lived(5, 5) && lived(4, 5));
        assert!(!lived(6, 5));
    }
}
