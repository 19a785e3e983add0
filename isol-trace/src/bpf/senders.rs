//! The ring of senders, which many CPUs write to at once.
//!
//! Room in a ring is handed out in order, and the reader stops at the first record that is not
//! finished (`kernel/bpf/ringbuf.c:__bpf_ringbuf_reserve`, `bpf_ringbuf_commit`, v6.12). So a
//! finished record can wait behind one that another CPU is still writing: the sender of something
//! that has already arrived would not be there yet. The positions tell, and are waited for.

use std::{
    io,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::maps::{MapData, RingBuf};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// How long a record may take to be finished. Its writer runs with interrupts or preemption off
/// and takes microseconds, save where a hypervisor takes its CPU away.
const WAIT: Duration = Duration::from_millis(20);

/// A ring and how far its writers are.
pub(super) struct SendersRing {
    ring: RingBuf<MapData>,
    consumer: Position,
    producer: Position,
}

impl SendersRing {
    /// Reads a ring from its beginning.
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // The first page has the reader's position, the second one the writers'
        // (`kernel/bpf/ringbuf.c:ringbuf_map_mmap_user`, v6.12).
        let consumer = Position::map(&ring, 0)?;
        let producer = Position::map(&ring, 1)?;
        Ok(Self {
            ring,
            consumer,
            producer,
        })
    }

    /// Hands over every record whose room was handed out before now, and waits for those that are
    /// not finished.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        let until = self.producer.get();
        let mut deadline = None;
        loop {
            while let Some(item) = self.ring.next() {
                take(&item);
            }
            // Positions only grow, and what matters is their distance.
            if self.consumer.get().wrapping_sub(until).cast_signed() >= 0 {
                return;
            }
            let now = Instant::now();
            if now > *deadline.get_or_insert(now + WAIT) {
                return;
            }
            thread::yield_now();
        }
    }
}

/// A position of a ring, mapped from the kernel.
struct Position {
    page: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the page is shared memory that is only read, by atomic loads.
unsafe impl Send for Position {}

impl Position {
    fn map(ring: &RingBuf<MapData>, page: u64) -> io::Result<Self> {
        let bytes = rustix::param::page_size();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                ring.as_fd(),
                page * bytes as u64,
            )
        }?;
        let page = NonNull::new(address.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { page, bytes })
    }

    /// Everything that was written before it was moved here is seen.
    fn get(&self) -> u64 {
        // SAFETY: the page is mapped as long as `self` lives, and begins with the position, an
        // `unsigned long` that the kernel stores whole.
        unsafe { self.page.as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing points into it any more.
        let unmapped = unsafe { munmap(self.page.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "it was mapped with these arguments");
    }
}
