//! Memory: mappings of our own, and pages shared with a child.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::FileExt as _,
    },
    path::Path,
    ptr::NonNull,
};

use super::{check, kill};

/// Maps every page of the process now, so that none faults later, and keeps huge pages out of it.
pub fn settle_memory() -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) })?;
    lock_memory(libc::MCL_CURRENT)
}

/// Locks all memory: what there is, what there will be, or both.
pub fn lock_memory(which: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_mlockall, which) }).map(drop)
}

/// The size of a page.
pub const PAGE: usize = 4096;

const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;

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
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::map(pages, WRITABLE, kind, -1, 0)
    }

    /// Memory shared through `fd`, touched at once.
    pub fn shared(pages: usize, fd: RawFd) -> io::Result<Self> {
        Self::map(
            pages,
            WRITABLE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            fd,
            0,
        )
    }

    /// The page of registers at a physical address; `fd` is `/dev/mem`.
    pub fn device(fd: RawFd, address: i64) -> io::Result<Self> {
        Self::map(1, WRITABLE, libc::MAP_SHARED, fd, address)
    }

    /// A page that is shared with the kernel through a file of its own.
    pub fn of_file(fd: RawFd, offset: i64) -> io::Result<Self> {
        Self::map(
            1,
            WRITABLE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            fd,
            offset,
        )
    }

    fn map(pages: usize, rights: i32, flags: i32, fd: RawFd, offset: i64) -> io::Result<Self> {
        let length = pages * PAGE;
        // SAFETY: a new mapping wherever the kernel likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, rights, flags, fd, offset) };
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

    /// Length of the mapping.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.length as u64
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

/// A function on a page of its own, which nobody has run yet.
#[derive(Debug)]
pub struct Code(Pages);

impl Code {
    /// Maps it.
    pub fn map() -> io::Result<Self> {
        Self::in_file(&memory_file(c"code", 1)?.into())
    }

    /// Maps it from a file with a name, which is made anew.
    pub fn of_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        Self::in_file(&options.open(path)?)
    }

    fn in_file(file: &File) -> io::Result<Self> {
        // `nop`, in the place of which a breakpoint fits, and `ret`.
        file.write_all_at(&[0x90, 0xc3], 0)?;
        let rights = libc::PROT_READ | libc::PROT_EXEC;
        let fd = file.as_raw_fd();
        Ok(Self(Pages::map(1, rights, libc::MAP_PRIVATE, fd, 0)?))
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.address(0)
    }

    /// Runs it.
    pub fn run(&self) {
        // SAFETY: a function of the C ABI that takes nothing and returns at once.
        let function: extern "C" fn() = unsafe { std::mem::transmute(self.0.start()) };
        function();
    }
}

/// Writes an entry of the process's LDT: a segment of data that nobody uses.
pub fn change_ldt() -> io::Result<()> {
    // `struct user_desc` (arch/x86/include/uapi/asm/ldt.h, v6.12): number, base, limit, and the flags
    // seg_32bit, limit_in_pages and useable.
    let segment: [u32; 4] = [0, 0, 0xf_ffff, 0x51];
    let size = size_of_val(&segment);
    // SAFETY: the segment outlives the call, and its size is the one given; 1 is to write.
    check(unsafe { libc::syscall(libc::SYS_modify_ldt, 1, segment.as_ptr(), size) }).map(drop)
}

/// Starts a child in this memory, on a stack of its own, and waits for its end.
pub fn vfork(stack: &Pages) -> io::Result<()> {
    extern "C" fn end(_: *mut libc::c_void) -> i32 {
        0
    }
    let top = stack.start().as_ptr().wrapping_add(stack.length);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack outlives the child, for which this thread waits, and which does nothing.
    let child = unsafe { libc::clone(end, top.cast(), flags, std::ptr::null_mut()) };
    let child = check(child.into())?;
    // SAFETY: waits for that child; no status is asked for.
    check(unsafe { libc::syscall(libc::SYS_wait4, child, 0, 0, 0) }).map(drop)
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
