//! Pages that are all the same, of a process that runs on a watched CPU.

use std::ptr::NonNull;

use anyhow::{Context, Result, ensure};

use super::busy::Busy;
use crate::truth::sys;

/// The pages; a thread of ours computes on the CPU meanwhile.
#[derive(Debug)]
pub(super) struct Shared {
    start: NonNull<u8>,
    made: u64,
    thread: Option<Busy>,
}

/// Three huge pages: whatever the alignment, two whole ones are in it.
const BYTES: usize = 6 << 20;
const PAGE: usize = 4096;

impl Shared {
    pub(super) fn spun_on(cpu: u32, advice: i32) -> Result<Self> {
        let (rights, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, which nothing else refers to.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, rights, kind, -1, 0) };
        ensure!(
            start != libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        let pages = Self {
            start: NonNull::new(start.cast()).context("a mapping at 0")?,
            made: sys::now(),
            thread: Some(Busy::computing(cpu)?),
        };
        pages.advise(advice)?;
        pages.fill();
        Ok(pages)
    }

    pub(super) fn advise(&self, advice: i32) -> Result<()> {
        // SAFETY: the mapping is ours.
        sys::check(unsafe { libc::syscall(libc::SYS_madvise, self.start.as_ptr(), BYTES, advice) })
            .context("madvise")?;
        Ok(())
    }

    pub(super) fn fill(&self) {
        for page in (0..BYTES).step_by(PAGE) {
            // SAFETY: inside of the mapping.
            let place = unsafe { self.start.add(page) };
            // SAFETY: the mapping is writable, and nobody else uses it.
            unsafe { place.write_volatile(7) };
        }
    }

    /// Long enough for khugepaged to have been there.
    pub(super) fn is_old(&self) -> bool {
        sys::now() - self.made > 2_500_000_000
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.thread = None;
        // SAFETY: the mapping is ours, and nobody uses it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), BYTES) };
    }
}
