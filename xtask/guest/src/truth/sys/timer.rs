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
        let mut timer: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both places outlive the call.
        let answer =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        check(answer.into())?;
        Ok(Self(timer))
    }

    /// Lets it expire once, after a time.
    pub fn arm(&self, after: Duration) -> io::Result<()> {
        let setting = once(u64::try_from(after.as_nanos()).map_err(io::Error::other)?);
        // SAFETY: the timer is ours, the setting outlives the call, no old one is asked for.
        let answer =
            unsafe { libc::timer_settime(self.0, 0, &raw const setting, std::ptr::null_mut()) };
        check(answer.into()).map(drop)
    }
}

/// A timer behind a file descriptor.
#[derive(Debug)]
#[expect(
    dead_code,
    reason = "the descriptor is kept open for the timer in the kernel"
)]
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
