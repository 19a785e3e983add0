//! A ring of `io_uring` with room for one request (`include/uapi/linux/io_uring.h`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Pages, check};

/// `struct io_uring_params` in words of four bytes.
type Params = [u32; 30];

/// A word of it: flags of the ring.
const FLAGS: usize = 2;
/// Words of it: where in the rings are the end of what was submitted, and the beginning and end of what is
/// done (`sq_off.tail`, `cq_off.head`, `cq_off.tail`).
const SUBMITTED: usize = 11;
const TAKEN: usize = 20;
const DONE: usize = 21;

/// `IORING_OFF_SQES`: where requests are in the file.
const REQUESTS: i64 = 0x1000_0000;
/// `IOSQE_ASYNC`: a worker does it. `IORING_OP_NOP`, the operation in the byte before, is 0.
const BY_A_WORKER: u16 = 1 << 4 << 8;
/// `IORING_OP_POLL_ADD`, and where its file and its events are in the request.
const POLL: u16 = 6;
const FILE: usize = 4;
const POLLED_EVENTS: usize = 28;
/// `IORING_OP_READ`, and where its memory and its length are in the request, of which the place in the file stays 0.
const READ: u16 = 22;
const READ_TO: usize = 16;
const READ_LENGTH: usize = 24;
/// `IORING_ENTER_GETEVENTS`.
const WAIT: u32 = 1 << 0;
/// `IORING_REGISTER_IOWQ_AFF`.
const WORKERS_CPUS: u32 = 17;

/// `IORING_SETUP_COOP_TASKRUN`: no CPU is interrupted for what is complete.
pub const COOPERATIVE: u32 = 1 << 8;
/// `IORING_SETUP_SINGLE_ISSUER` and `IORING_SETUP_DEFER_TASKRUN`: what is complete waits until its task asks for it.
pub const DEFERRED: u32 = 1 << 12 | 1 << 13;

/// A ring.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    params: Params,
    /// Both rings: they share a mapping (`IORING_FEAT_SINGLE_MMAP`, since 5.4), and are small.
    rings: Pages,
    requests: Pages,
}

impl Ring {
    /// A ring with these flags, which belongs to this thread.
    pub fn with(flags: u32) -> io::Result<Self> {
        let mut params: Params = [0; 30];
        params[FLAGS] = flags;
        // SAFETY: the parameters outlive the call and have the size that it writes.
        let fd = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) })?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        Ok(Self {
            rings: Pages::of_file(fd.as_raw_fd(), 0)?,
            requests: Pages::of_file(fd.as_raw_fd(), REQUESTS)?,
            fd,
            params,
        })
    }

    /// A ring whose requests are done by workers of the kernel's in this process, which may only run on one CPU,
    /// below 64.
    pub fn with_workers_on(cpu: u32) -> io::Result<Self> {
        let ring = Self::with(0)?;
        let mask: u64 = 1 << cpu;
        // SAFETY: the mask outlives the call and its size is the one given.
        check(unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                ring.fd.as_raw_fd(),
                WORKERS_CPUS,
                &raw const mask,
                size_of_val(&mask),
            )
        })?;
        Ok(ring)
    }

    /// Why there is no ring, where the kernel has none to give.
    #[must_use]
    pub fn refusal(error: &io::Error) -> Option<&'static str> {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Some("this kernel is built without CONFIG_IO_URING"),
            Some(libc::EPERM) => Some("kernel.io_uring_disabled is not 0 here"),
            _ => None,
        }
    }

    /// Has a worker do nothing, and waits until it has.
    pub fn punt(&self) -> io::Result<()> {
        self.begin(BY_A_WORKER);
        self.submit(1, WAIT)?;
        self.take()?;
        Ok(())
    }

    /// Asks to be told when there is something to read. The file is to outlive the ring.
    pub fn poll(&self, file: &impl AsFd) -> io::Result<()> {
        self.begin(POLL);
        let events = u32::try_from(libc::POLLIN).map_err(io::Error::other)?;
        let file = file.as_fd().as_raw_fd();
        self.put(FILE, file);
        self.put(POLLED_EVENTS, events);
        self.submit(0, 0)
    }

    /// Asks for the first page of a file, and waits in user mode until it is there. The file and the page are to
    /// outlive the ring.
    pub fn read(&self, file: &impl AsFd, page: &Pages) -> io::Result<()> {
        self.begin(READ);
        self.put(FILE, file.as_fd().as_raw_fd());
        self.put(READ_TO, page.address(0));
        let length = u32::try_from(super::PAGE).map_err(io::Error::other)?;
        self.put(READ_LENGTH, length);
        self.submit(0, 0)?;
        while !self.take()? {
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// Asks for what is complete, waits for nothing, and tells whether it was a request.
    pub fn completed(&self) -> io::Result<bool> {
        self.enter(0, 0, WAIT)?;
        self.take()
    }

    /// The beginning of the only request: operation and flags.
    fn begin(&self, word: u16) {
        self.put(0, word);
    }

    /// Writes a field of the only request.
    fn put<T>(&self, place: usize, value: T) {
        // SAFETY: inside the only request: the page is much larger.
        let field = unsafe { self.requests.start().byte_add(place) };
        // SAFETY: writable and aligned as fields are; the kernel reads them only in `submit`.
        unsafe { field.cast::<T>().write_volatile(value) };
    }

    /// Hands the request over, and waits for so many.
    fn submit(&self, wanted: u32, flags: u32) -> io::Result<()> {
        self.counter(SUBMITTED)?.fetch_add(1, Ordering::Release);
        if self.enter(1, wanted, flags)? != 1 {
            return Err(io::Error::other("the request was not taken"));
        }
        Ok(())
    }

    fn enter(&self, submitted: u32, wanted: u32, flags: u32) -> io::Result<libc::c_long> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: plain numbers.
        check(unsafe {
            libc::syscall(libc::SYS_io_uring_enter, fd, submitted, wanted, flags, 0, 0)
        })
    }

    /// Takes what is complete, and tells whether there was something.
    fn take(&self) -> io::Result<bool> {
        let done = self.counter(DONE)?.load(Ordering::Acquire);
        let taken = self.counter(TAKEN)?.swap(done, Ordering::Release);
        Ok(taken != done)
    }

    /// A counter that is shared with the kernel, by the word of the parameters that says where it is.
    fn counter(&self, word: usize) -> io::Result<&AtomicU32> {
        let place = self.params[word] as usize;
        if place + size_of::<AtomicU32>() > super::PAGE || !place.is_multiple_of(4) {
            return Err(io::Error::other(format!("a counter is at {place}")));
        }
        // SAFETY: inside the mapping, as just checked.
        let counter = unsafe { self.rings.start().byte_add(place) };
        // SAFETY: aligned, as just checked, and mapped as long as the ring is; both sides use it as an atomic only.
        Ok(unsafe { counter.cast().as_ref() })
    }
}
