//! What the driver and the actor share while a trigger is on: a page of memory, no system calls.

use std::{
    io,
    ops::Deref,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use super::sys::{self, Pages};

/// How far a trigger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// The actor prepares.
    Start = 0,
    /// The actor is on its CPU, in user mode, and waits.
    Ready = 1,
    /// The driver lets it begin.
    Go = 2,
    /// The beginning is marked.
    Begun = 3,
    /// The end is marked.
    Acted = 4,
    /// The driver lets it leave.
    Leave = 5,
    /// The actor cannot do it here; the reason is on the shared page.
    Skipped = 6,
}

/// What a check must know and only the actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The address that it touches.
    Address = 0,
    /// How often.
    Count = 1,
    /// The thread of a helper.
    Helper = 2,
    /// The number of an interrupt.
    Irq = 3,
    /// How often it was done in the end.
    Done = 4,
}

const FACTS: usize = 8;
const REASON: usize = 400;

/// The page.
#[repr(C)]
#[derive(Debug)]
pub struct SharedPage {
    /// A [`Phase`].
    pub phase: AtomicU32,
    /// 1 once the driver has done its part.
    pub partner: AtomicU32,
    /// The step that helpers of the actor wait for.
    pub cue: AtomicU32,
    /// The step that helpers of the actor have done.
    pub done: AtomicU32,
    pid: AtomicU32,
    tid: AtomicU32,
    known: AtomicU32,
    reason_length: AtomicU32,
    begin: AtomicU64,
    end: AtomicU64,
    facts: [AtomicU64; FACTS],
    reason: [AtomicU8; REASON],
}

impl SharedPage {
    /// Announces a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Release);
    }

    /// Whether a phase is on.
    #[must_use]
    pub fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Acquire) == phase as u32
    }

    /// Writes the actor's numbers down.
    pub fn introduce(&self, pid: u32, tid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
        self.tid.store(tid, Ordering::Relaxed);
    }

    /// Process and thread of the actor.
    #[must_use]
    pub fn who(&self) -> (u32, u32) {
        (
            self.pid.load(Ordering::Acquire),
            self.tid.load(Ordering::Acquire),
        )
    }

    /// Marks the beginning.
    pub fn mark_begin(&self, at: u64) {
        self.begin.store(at, Ordering::Release);
    }

    /// Marks the end.
    pub fn mark_end(&self, at: u64) {
        self.end.store(at, Ordering::Release);
    }

    /// Beginning and end.
    #[must_use]
    pub fn marks(&self) -> (u64, u64) {
        (
            self.begin.load(Ordering::Acquire),
            self.end.load(Ordering::Acquire),
        )
    }

    /// Notes a fact.
    pub fn set(&self, fact: Fact, value: u64) {
        self.facts[fact as usize].store(value, Ordering::Relaxed);
        self.known.fetch_or(1 << fact as u32, Ordering::Release);
    }

    /// A fact, where it was noted.
    #[must_use]
    pub fn get(&self, fact: Fact) -> Option<u64> {
        let known = self.known.load(Ordering::Acquire) & (1 << fact as u32) != 0;
        known.then(|| self.facts[fact as usize].load(Ordering::Relaxed))
    }

    /// Gives up, with a reason.
    pub fn skip(&self, reason: &str) {
        let bytes = reason.as_bytes();
        for (to, from) in self.reason.iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
        let length = u32::try_from(bytes.len().min(REASON)).unwrap_or(0);
        self.reason_length.store(length, Ordering::Release);
        self.enter(Phase::Skipped);
    }

    /// Why the actor gave up.
    #[must_use]
    pub fn reason(&self) -> String {
        let length = self.reason_length.load(Ordering::Acquire) as usize;
        let bytes: Vec<u8> = self
            .reason
            .iter()
            .take(length)
            .map(|byte| byte.load(Ordering::Relaxed))
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A [`SharedPage`] in shared memory.
#[derive(Debug)]
pub struct MappedPage {
    pages: Pages,
    file: Option<OwnedFd>,
}

impl MappedPage {
    /// A new page, which children inherit by its file.
    pub fn create() -> io::Result<Self> {
        let file = sys::memory_file(c"shared_page", 1)?;
        let pages = Pages::shared(1, file.as_raw_fd())?;
        Ok(Self {
            pages,
            file: Some(file),
        })
    }

    /// The page that a parent made.
    pub fn open(fd: RawFd) -> io::Result<Self> {
        Ok(Self {
            pages: Pages::shared(1, fd)?,
            file: None,
        })
    }

    /// The file to tell a child of.
    #[must_use]
    pub fn fd(&self) -> Option<RawFd> {
        self.file.as_ref().map(AsRawFd::as_raw_fd)
    }
}

const _: () = assert!(size_of::<SharedPage>() <= sys::PAGE);

impl Deref for MappedPage {
    type Target = SharedPage;

    fn deref(&self) -> &SharedPage {
        // SAFETY: the mapping is a page long, page-aligned, zeroed at first, and
        // `SharedPage` is made of atomics only, for which every bit pattern is valid.
        unsafe { self.pages.start().cast::<SharedPage>().as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_notes_the_other_reads() {
        let driver = MappedPage::create().unwrap();
        let actor = MappedPage::open(driver.fd().unwrap()).unwrap();
        assert!(driver.is(Phase::Start));
        assert_eq!(driver.get(Fact::Address), None);
        actor.set(Fact::Address, 0);
        actor.introduce(7, 8);
        actor.mark_begin(5);
        actor.mark_end(9);
        actor.enter(Phase::Acted);
        assert!(driver.is(Phase::Acted));
        assert_eq!(driver.get(Fact::Address), Some(0), "zero is a fact");
        assert_eq!(driver.who(), (7, 8));
        assert_eq!(driver.marks(), (5, 9));
        actor.skip("no such device");
        assert_eq!(driver.reason(), "no such device");
        assert!(driver.is(Phase::Skipped));
    }
}
