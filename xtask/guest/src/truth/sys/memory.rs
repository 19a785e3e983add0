//! Memory: mappings of our own, and pages shared with a child.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr::NonNull,
};

use super::{check, kill};

/// Maps every page of the process now, so that none faults later, and keeps huge pages out of it.
pub fn settle_memory() -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_mlockall, libc::MCL_CURRENT) }).map(drop)
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

    /// A page that is shared with the kernel through a file of its own.
    pub fn of_file(fd: RawFd, offset: i64) -> io::Result<Self> {
        Self::map(1, libc::MAP_SHARED | libc::MAP_POPULATE, fd, offset)
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
