//! Memory whose pages a handler of this process fills (userfaultfd(2),
//! `include/uapi/linux/userfaultfd.h`, v6.12).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::{Pages, check};

/// `UFFDIO_API`, with `struct uffdio_api`: version, features, answers.
const AGREE: u64 = 0xc018_aa3f;
const VERSION: u64 = 0xaa;
/// `UFFDIO_REGISTER`, with `struct uffdio_register`: start, length, mode, answers.
const REGISTER: u64 = 0xc020_aa00;
/// `UFFDIO_REGISTER_MODE_MISSING`.
const MISSING: u64 = 1;
/// `UFFDIO_COPY`, with `struct uffdio_copy`: to, from, length, mode, answer.
const COPY: u64 = 0xc028_aa03;
/// Words of `struct uffd_msg`.
const MESSAGE: usize = 4;

/// The handler's side.
#[derive(Debug)]
pub struct Handler(OwnedFd);

impl Handler {
    /// Whoever touches these pages waits for the handler, until it has filled them.
    pub fn of(pages: &Pages) -> io::Result<Self> {
        // SAFETY: plain numbers.
        let fd = check(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) })?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        let handler = Self(fd);
        handler.ask(AGREE, &mut [VERSION, 0, 0])?;
        handler.ask(REGISTER, &mut [pages.address(0), pages.bytes(), MISSING, 0])?;
        Ok(handler)
    }

    /// Why there is no handler, where the kernel has none to give.
    #[must_use]
    pub fn refusal(error: &io::Error) -> Option<&'static str> {
        let is_absent = error.raw_os_error() == Some(libc::ENOSYS);
        is_absent.then_some("this kernel is built without CONFIG_USERFAULTFD")
    }

    /// Waits until somebody waits for a page.
    pub fn wait(&self) -> io::Result<()> {
        let mut message = [0_u64; MESSAGE];
        let (fd, size) = (self.0.as_raw_fd(), size_of_val(&message));
        // SAFETY: the message outlives the call, and its size is the one given.
        check(unsafe { libc::syscall(libc::SYS_read, fd, message.as_mut_ptr(), size) }).map(drop)
    }

    /// Fills all of the pages with what is in others, as many.
    pub fn fill(&self, pages: &Pages, from: &Pages) -> io::Result<()> {
        let length = pages.bytes();
        let mut copy = [pages.address(0), from.address(0), length, 0, 0];
        self.ask(COPY, &mut copy)?;
        if copy[4] != length {
            return Err(io::Error::other(format!(
                "{} of {length} bytes are filled",
                copy[4]
            )));
        }
        Ok(())
    }

    fn ask(&self, request: u64, structure: &mut [u64]) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: each request is asked with a structure of its size, which outlives the call.
        check(unsafe { libc::syscall(libc::SYS_ioctl, fd, request, structure.as_mut_ptr()) })
            .map(drop)
    }
}
