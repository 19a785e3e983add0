//! Timers.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use super::{check, thread_id};

/// A POSIX timer that signals the thread that made it.
#[derive(Debug)]
pub struct ThreadTimer(libc::timer_t);

impl ThreadTimer {
    /// Makes a timer of `CLOCK_MONOTONIC`.
    pub fn create(signal: i32) -> io::Result<Self> {
        // SAFETY: an all-zero sigevent is valid.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = i32::try_from(thread_id()).map_err(io::Error::other)?;
        create(libc::CLOCK_MONOTONIC, event).map(Self)
    }

    /// Lets it expire once, after a time.
    pub fn arm(&self, after: Duration) -> io::Result<()> {
        arm(self.0, after)
    }
}

/// Makes a POSIX timer.
fn create(clock: libc::clockid_t, mut event: libc::sigevent) -> io::Result<libc::timer_t> {
    let mut timer: libc::timer_t = std::ptr::null_mut();
    // SAFETY: both places outlive the call.
    let answer = unsafe { libc::timer_create(clock, &raw mut event, &raw mut timer) };
    check(answer.into())?;
    Ok(timer)
}

/// Lets a timer expire once, after a time of its clock.
fn arm(timer: libc::timer_t, after: Duration) -> io::Result<()> {
    let setting = once(u64::try_from(after.as_nanos()).map_err(io::Error::other)?);
    // SAFETY: the setting outlives the call, and no old one is asked for; a timer that is none is an error.
    let answer = unsafe { libc::timer_settime(timer, 0, &raw const setting, std::ptr::null_mut()) };
    check(answer.into()).map(drop)
}

/// A POSIX timer of the CPU time of a process.
#[derive(Debug)]
pub struct CpuTimer(libc::timer_t);

impl CpuTimer {
    /// Makes a timer of a process's CPU time, of this one or of any other.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut clock = 0;
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        // SAFETY: the place outlives the call.
        let answer = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
        if answer != 0 {
            return Err(io::Error::from_raw_os_error(answer));
        }
        // A timer that signals nobody is not armed at all (posix_cpu_timer_set, v6.12).
        // SAFETY: an all-zero sigevent is valid.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGALRM;
        create(clock, event).map(Self)
    }

    /// Lets it expire once, after so much CPU time.
    pub fn arm(&self, after: Duration) -> io::Result<()> {
        arm(self.0, after)
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and nobody uses it any more.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Sets the process's `ITIMER_PROF` to expire once, after so much CPU time of all its threads.
pub fn set_profiling_timer(after: Duration) -> io::Result<()> {
    let seconds = i64::try_from(after.as_secs()).map_err(io::Error::other)?;
    let time = |tv_sec| libc::timeval { tv_sec, tv_usec: 0 };
    let setting = libc::itimerval {
        it_interval: time(0),
        it_value: time(seconds),
    };
    // SAFETY: the setting outlives the call, no old one is asked for.
    let answer =
        unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const setting, std::ptr::null_mut()) };
    check(answer.into()).map(drop)
}

/// A timer behind a file descriptor.
#[derive(Debug)]
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// Makes a timer that expires once, at a time of `CLOCK_MONOTONIC`.
    pub fn arm_at(due: u64) -> io::Result<Self> {
        // SAFETY: plain numbers.
        let fd = check(
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) }.into(),
        )?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        let setting = once(due);
        // SAFETY: the setting outlives the call, no old one is asked for.
        let answer = unsafe {
            libc::timerfd_settime(
                fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const setting,
                std::ptr::null_mut(),
            )
        };
        check(answer.into())?;
        Ok(Self(fd))
    }

    /// Waits until it has expired.
    pub fn wait(&self) {
        let mut times = 0_u64;
        // SAFETY: the place is as large as what is read.
        unsafe { libc::syscall(libc::SYS_read, self.0.as_raw_fd(), &raw mut times, 8) };
    }
}

/// Asks for the time as programs older than the vDSO do.
pub fn vsyscall_time() {
    /// Where every x86-64 kernel has it (`VSYSCALL_ADDR`, arch/x86/include/uapi/asm/vsyscall.h, v6.12).
    const TIME: usize = 0xffff_ffff_ff60_0400;
    let page = std::ptr::without_provenance::<()>(TIME);
    // SAFETY: the kernel's ABI: a function that takes a place for the answer, or none, and answers.
    let time: extern "C" fn(*mut i64) -> i64 = unsafe { std::mem::transmute(page) };
    time(std::ptr::null_mut());
}

fn once(nanoseconds: u64) -> libc::itimerspec {
    let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    libc::itimerspec {
        it_interval: libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: libc::timespec {
            tv_sec: part(nanoseconds / 1_000_000_000),
            tv_nsec: part(nanoseconds % 1_000_000_000),
        },
    }
}
