//! The system calls that the ground truth needs, each behind a safe function.

mod bpf;
mod btf;
mod file;
mod memory;
mod perf;
mod port;
mod timer;
mod trace;
mod uring;
mod userfault;

use std::{
    ffi::CStr,
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use isol_trace_common::config::PR_TASK_ISOLATION;

pub use self::{
    bpf::*, file::*, memory::*, perf::*, port::*, timer::*, trace::*, uring::*, userfault::*,
};

/// Turns a C return value into a result.
pub fn check(value: libc::c_long) -> io::Result<libc::c_long> {
    if value < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds. No kernel entry where the clock source is the TSC.
#[must_use]
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Asks the task-isolation prctl for an operation without a structure; a kernel without the series says
/// `EINVAL`.
pub fn isolation(operation: u64) -> io::Result<()> {
    // SAFETY: plain numbers.
    let done = unsafe { libc::syscall(libc::SYS_prctl, PR_TASK_ISOLATION, operation, 0, 0, 0) };
    check(done).map(drop)
}

/// Begins or ends a section by that operation: for the tracer it is one, whatever the kernel says.
///
/// Its answer is not looked at: whatever that takes would be in the section, and fault in a page of the
/// program.
#[inline]
pub fn section(operation: u64) {
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_prctl, PR_TASK_ISOLATION, operation, 0, 0, 0) };
}

/// The cheapest system call.
pub fn getppid() {
    // SAFETY: takes nothing, changes nothing.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Burns time in user mode.
pub fn spin(time: Duration) {
    let end = now() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
    while now() < end {
        std::hint::spin_loop();
    }
}

/// Burns time in user mode until `flag` holds `value`.
pub fn spin_until(flag: &AtomicU32, value: u32) {
    while flag.load(Ordering::Acquire) != value {
        std::hint::spin_loop();
    }
}

/// Number of the calling thread.
#[must_use]
pub fn thread_id() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    u32::try_from(tid).unwrap_or(0)
}

/// Binds a thread to CPUs; thread 0 is the caller.
pub fn pin(tid: u32, cpus: &[u32]) -> io::Result<()> {
    let mut mask = [0_u64; 64];
    for &cpu in cpus {
        let word = mask.get_mut(cpu as usize / 64);
        *word.ok_or_else(|| io::Error::other(format!("CPU {cpu} is beyond the mask")))? |=
            1 << (cpu % 64);
    }
    // SAFETY: the mask outlives the call and its size is the one given.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            tid,
            size_of_val(&mask),
            mask.as_ptr(),
        )
    };
    check(answer).map(drop)
}

/// Gives a thread a scheduling policy and a priority (0 for the fair policies).
pub fn set_policy(tid: u32, policy: i32, priority: i32) -> io::Result<()> {
    let parameter = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the parameter outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            tid,
            policy,
            &raw const parameter,
        )
    };
    check(answer).map(drop)
}

/// Gives the calling thread another name.
pub fn rename(name: &CStr) -> io::Result<()> {
    // SAFETY: the name is a C string.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) })
        .map(drop)
}

/// Sends a signal to a process.
pub fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_kill, pid, signal) }).map(drop)
}

/// Blocks a signal for this thread, and for those that it starts.
pub fn block(signal: i32) -> io::Result<()> {
    let only = signal_set(signal);
    // SAFETY: the set outlives the call, no old one is asked for.
    let answer =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const only, std::ptr::null_mut()) };
    match answer {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Waits for a signal that is blocked, and takes it.
pub fn take_signal(signal: i32) -> io::Result<()> {
    let (only, mut taken) = (signal_set(signal), 0);
    // SAFETY: both places outlive the call.
    match unsafe { libc::sigwait(&raw const only, &raw mut taken) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn signal_set(signal: i32) -> libc::sigset_t {
    // SAFETY: an all-zero set is an empty one.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    set
}
