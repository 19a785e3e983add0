//! A ring of `io_uring` with room for one request that does nothing (`include/uapi/linux/io_uring.h`).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Pages, check};

/// `struct io_uring_params` in words of four bytes.
type Params = [u32; 30];

/// Words of it: where in the rings are the end of what was submitted, and the beginning and end of what is
/// done (`sq_off.tail`, `cq_off.head`, `cq_off.tail`).
const SUBMITTED: usize = 11;
const TAKEN: usize = 20;
const DONE: usize = 21;

/// `IORING_OFF_SQES`: where requests are in the file.
const REQUESTS: i64 = 0x1000_0000;
/// `IOSQE_ASYNC`: a worker does it. `IORING_OP_NOP`, the operation in the byte before, is 0.
const BY_A_WORKER: u16 = 1 << 4 << 8;
/// `IORING_ENTER_GETEVENTS`.
const WAIT: u32 = 1 << 0;
/// `IORING_REGISTER_IOWQ_AFF`.
const WORKERS_CPUS: u32 = 17;

/// A ring whose requests are done by workers of the kernel's in this process.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    params: Params,
    /// Both rings: they share a mapping (`IORING_FEAT_SINGLE_MMAP`, since 5.4), and are small.
    rings: Pages,
    requests: Pages,
}

impl Ring {
    /// A ring whose workers may only run on one CPU, below 64.
    pub fn with_workers_on(cpu: u32) -> io::Result<Self> {
        let mut params: Params = [0; 30];
        // SAFETY: the parameters outlive the call and have the size that it writes.
        let fd = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) })?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        let mask: u64 = 1 << cpu;
        // SAFETY: the mask outlives the call and its size is the one given.
        check(unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                fd.as_raw_fd(),
                WORKERS_CPUS,
                &raw const mask,
                size_of_val(&mask),
            )
        })?;
        Ok(Self {
            rings: Pages::of_file(fd.as_raw_fd(), 0)?,
            requests: Pages::of_file(fd.as_raw_fd(), REQUESTS)?,
            fd,
            params,
        })
    }

    /// Has a worker do nothing, and waits until it has.
    pub fn punt(&self) -> io::Result<()> {
        // SAFETY: the first two bytes of the only request; the kernel reads them in the call below.
        unsafe {
            let request = self.requests.start().cast::<u16>();
            request.write_volatile(BY_A_WORKER);
        }
        self.counter(SUBMITTED)?.fetch_add(1, Ordering::Release);
        // SAFETY: plain numbers.
        let submitted = check(unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                1,
                1,
                WAIT,
                0,
                0,
            )
        })?;
        if submitted != 1 {
            return Err(io::Error::other("the request was not taken"));
        }
        let done = self.counter(DONE)?.load(Ordering::Acquire);
        self.counter(TAKEN)?.store(done, Ordering::Release);
        Ok(())
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
