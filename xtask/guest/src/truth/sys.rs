//! The system calls that the ground truth needs, each behind a safe function.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
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

/// Maps every page of the process now, so that none faults later, and keeps huge pages out of it.
pub fn settle_memory() -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_mlockall, libc::MCL_CURRENT) }).map(drop)
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

/// The size of a page.
pub const PAGE: usize = 4096;

/// An own mapping of memory.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Pages {}
// SAFETY: only addresses are handed out; access is volatile or atomic.
unsafe impl Sync for Pages {}

impl Pages {
    /// Fresh private memory, not yet touched, readable and writable.
    pub fn private(pages: usize) -> io::Result<Self> {
        Self::map(pages, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// Memory shared through `fd`, touched at once.
    pub fn shared(pages: usize, fd: RawFd) -> io::Result<Self> {
        Self::map(pages, libc::MAP_SHARED | libc::MAP_POPULATE, fd, 0)
    }

    /// The page of registers at a physical address; `fd` is `/dev/mem`.
    pub fn device(fd: RawFd, address: i64) -> io::Result<Self> {
        Self::map(1, libc::MAP_SHARED, fd, address)
    }

    fn map(pages: usize, flags: i32, fd: RawFd, offset: i64) -> io::Result<Self> {
        let length = pages * PAGE;
        // SAFETY: a new mapping wherever the kernel likes.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                fd,
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { start, length })
    }

    /// Address of page `index`.
    #[must_use]
    pub fn address(&self, index: usize) -> u64 {
        self.start.as_ptr().addr() as u64 + (index * PAGE) as u64
    }

    /// Start of the mapping.
    #[must_use]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn page(&self, index: usize) -> *mut u8 {
        assert!(index * PAGE < self.length, "page {index} is in the mapping");
        // SAFETY: inside the mapping, as just asserted.
        unsafe { self.start.as_ptr().add(index * PAGE) }
    }

    /// Writes one byte of page `index`.
    pub fn write(&self, index: usize) {
        // SAFETY: `page` answers addresses of the mapping, which is writable.
        unsafe { self.page(index).write_volatile(1) };
    }

    /// Reads one byte of page `index`.
    pub fn read(&self, index: usize) {
        // SAFETY: `page` answers addresses of the mapping, which is readable.
        let _ = unsafe { self.page(index).read_volatile() };
    }

    /// Gives page `index` back to the kernel.
    pub fn unmap(&self, index: usize) {
        // SAFETY: a page of our own; nobody touches it again.
        unsafe { libc::munmap(self.page(index).cast(), PAGE) };
    }

    /// Changes the rights of page `index`.
    pub fn protect(&self, index: usize, rights: i32) {
        // SAFETY: a page of our own.
        unsafe { libc::mprotect(self.page(index).cast(), PAGE, rights) };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody uses any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A file in memory that children inherit.
pub fn memory_file(name: &CStr, pages: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let fd = check(unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), 0) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made it for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_ftruncate, fd.as_raw_fd(), pages * PAGE) })?;
    Ok(fd)
}

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

/// Kinds of BPF objects that have numbers.
#[derive(Clone, Copy, Debug)]
pub enum BpfObject {
    /// `BPF_PROG_GET_NEXT_ID`.
    Program = 11,
    /// `BPF_MAP_GET_NEXT_ID`.
    Map = 12,
    /// `BPF_LINK_GET_NEXT_ID`.
    Link = 31,
}

/// How many BPF objects of a kind the kernel holds.
pub fn bpf_objects(kind: BpfObject) -> io::Result<usize> {
    let mut attr = [0_u32; 4];
    let mut count = 0;
    loop {
        // SAFETY: the attribute outlives the call, its size is the one given.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                kind as libc::c_long,
                attr.as_mut_ptr(),
                size_of_val(&attr),
            )
        };
        match check(answer) {
            Ok(_) => count += 1,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(count),
            Err(error) => return Err(error),
        }
        attr[0] = attr[1];
    }
}

/// Tells the kernel how a mapping will be used.
pub fn advise(pages: &Pages, advice: i32) -> io::Result<()> {
    // SAFETY: our own mapping; the advice used here changes no content.
    check(unsafe { libc::madvise(pages.start.as_ptr().cast(), pages.length, advice) }.into())
        .map(drop)
}

/// A child process that does nothing until it is ended.
#[derive(Debug)]
pub struct ForkedChild(u32);

/// Forks a child that shares the memory of its parent, copy on write, and sleeps.
pub fn fork_sleeper() -> io::Result<ForkedChild> {
    // SAFETY: the child calls nothing but `pause`, which is safe after a fork.
    let child = check(unsafe { libc::fork() }.into())?;
    if child == 0 {
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    }
    Ok(ForkedChild(u32::try_from(child).map_err(io::Error::other)?))
}

impl ForkedChild {
    /// Ends the child.
    pub fn end(self) {
        let _ = kill(self.0, libc::SIGKILL);
        // SAFETY: waits for the child that `self` stands for; no status is asked for.
        unsafe { libc::syscall(libc::SYS_wait4, self.0, 0, 0, 0) };
    }
}

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

/// Receives until the other end of a socket is closed; a timeout counts for nothing.
pub fn receive_until_closed(fd: RawFd) {
    let mut byte = [0_u8; 1];
    loop {
        // SAFETY: the buffer outlives the call, its length is the one given, no address is asked for.
        let got = unsafe { libc::syscall(libc::SYS_recvfrom, fd, byte.as_mut_ptr(), 1, 0, 0, 0) };
        let again = got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        if !again {
            return;
        }
    }
}

/// Watches for a file being opened, by whomever.
#[derive(Debug)]
pub struct OpenWatch(OwnedFd);

impl OpenWatch {
    /// Watches these files; those that do not exist are left out.
    pub fn start(paths: &[&CStr]) -> io::Result<Self> {
        // SAFETY: plain numbers.
        let fd =
            check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) }.into())?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        for path in paths {
            // SAFETY: the path is a C string.
            unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), libc::IN_OPEN) };
        }
        Ok(Self(fd))
    }

    /// Whether any was opened since the last question.
    pub fn opened(&self) -> io::Result<bool> {
        let mut events = [0_u8; 4096];
        // SAFETY: the buffer outlives the call, its length is the one given.
        let got = unsafe {
            libc::syscall(
                libc::SYS_read,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len(),
            )
        };
        match check(got) {
            Ok(length) => Ok(length > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Name and number of runs of every BPF program that the kernel holds. Runs are
/// counted while BPF statistics are on.
pub fn bpf_runs() -> io::Result<Vec<(String, u64)>> {
    const GET_FD_BY_ID: libc::c_long = 13;
    const GET_INFO_BY_FD: libc::c_long = 15;
    // Offsets in `struct bpf_prog_info` (include/uapi/linux/bpf.h, unchanged since 5.1).
    const NAME: usize = 64;
    const RUN_COUNT: usize = 200;
    let bpf = |command: libc::c_long, attr: &mut [u32; 4]| {
        // SAFETY: the attribute outlives the call, its size is the one given; an
        // address in it is that of a buffer that outlives the call too.
        check(unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), 16) })
    };
    let mut runs = Vec::new();
    let mut next = [0; 4];
    while bpf(BpfObject::Program as libc::c_long, &mut next).is_ok() {
        let id = next[1];
        next[0] = id;
        let Ok(fd) = bpf(GET_FD_BY_ID, &mut [id, 0, 0, 0]) else {
            continue;
        };
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        let mut info = [0_u64; 28];
        let address = info.as_mut_ptr().addr() as u64;
        let (low, high) = (address & u64::from(u32::MAX), address >> 32);
        let number = |value: u64| u32::try_from(value).map_err(io::Error::other);
        let handle = u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)?;
        let length = number(size_of_val(&info) as u64)?;
        bpf(
            GET_INFO_BY_FD,
            &mut [handle, length, number(low)?, number(high)?],
        )?;
        let name: Vec<u8> = info[NAME / 8..NAME / 8 + 2]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .take_while(|byte| *byte != 0)
            .collect();
        runs.push((
            String::from_utf8_lossy(&name).into_owned(),
            info[RUN_COUNT / 8],
        ));
    }
    Ok(runs)
}
