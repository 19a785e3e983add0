//! Perf events.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::check;

/// What `perf_event_open` is told here: the head of the kernel's `perf_event_attr` (version 0, 64 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PerfAttr {
    /// `PERF_TYPE_…`.
    pub kind: u32,
    /// Size of this structure.
    pub size: u32,
    /// `PERF_COUNT_…`.
    pub config: u64,
    /// Events between two samples.
    pub sample_period: u64,
    /// What a sample holds.
    pub sample_type: u64,
    /// What a read answers.
    pub read_format: u64,
    /// Bit field; bit 0 is `disabled`.
    pub flags: u64,
    /// Samples between two wake-ups.
    pub wakeup_events: u32,
    /// Breakpoint type, not used.
    pub breakpoint: u32,
    /// Second configuration word, not used.
    pub config1: u64,
}

/// `PERF_TYPE_SOFTWARE`.
pub const PERF_TYPE_SOFTWARE: u32 = 1;
/// `PERF_COUNT_SW_CPU_CLOCK`.
pub const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
/// `PERF_COUNT_SW_DUMMY`.
pub const PERF_COUNT_SW_DUMMY: u64 = 9;
/// `PERF_EVENT_IOC_ENABLE`.
pub const PERF_ENABLE: u64 = 0x2400;
/// `PERF_EVENT_IOC_DISABLE`.
pub const PERF_DISABLE: u64 = 0x2401;
/// `PERF_EVENT_IOC_REFRESH`.
pub const PERF_REFRESH: u64 = 0x2402;

/// Opens a perf event of a thread (`cpu` −1) or of a CPU (`tid` −1).
pub fn perf_event(attr: &PerfAttr, tid: i32, cpu: i32) -> io::Result<OwnedFd> {
    let mut attr = *attr;
    attr.size = 64;
    // SAFETY: the structure outlives the call and its size is in it.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, tid, cpu, -1, 8)
    })?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
}

/// An `ioctl` with a number for its argument.
pub fn ioctl(fd: &OwnedFd, request: u64, argument: u64) -> io::Result<()> {
    // SAFETY: the requests used here take numbers.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd.as_raw_fd(), request, argument) }).map(drop)
}
