//! The rings: room for a record, its words, handing it over.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    helpers::generated::{bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit},
};

use crate::{context::this_cpu, maps::RINGS};

/// Reserves room on a ring. `None` where the ring is full.
#[inline(always)]
pub(crate) fn reserve(slot: u32, bytes: usize) -> Option<*mut u64> {
    let ring = RINGS.get(slot)?;
    // SAFETY: the pointer is of a ring map; the size is a constant at every call.
    let room = unsafe {
        bpf_ringbuf_reserve(core::ptr::from_ref(ring).cast_mut().cast(), bytes as u64, 0)
    };
    let room = room.cast::<u64>();
    (!room.is_null()).then_some(room)
}

/// Hands a record over without waking the reader: a wake-up is an `irq_work` interrupt on
/// this very CPU (`kernel/bpf/ringbuf.c:bpf_ringbuf_commit`, v6.12).
#[inline(always)]
pub(crate) fn submit(room: *mut u64) {
    // SAFETY: the pointer came from `reserve` and is handed over once.
    unsafe { bpf_ringbuf_submit(room.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
}

/// Whether a ring is at least half full, or not there.
#[inline(always)]
pub(crate) fn is_half_full(slot: u32) -> bool {
    let Some(ring) = RINGS.get(slot) else {
        return true;
    };
    let ring = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: the pointer is of a ring map.
    let waiting = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) };
    // SAFETY: as above.
    let size = unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_RING_SIZE)) };
    waiting >= size / 2
}

/// Writes a short record to this CPU's ring.
#[inline(always)]
pub(crate) fn write<T>(record: &T) -> bool {
    write_to(this_cpu(), record)
}

/// Writes a short record to the ring of a slot.
#[inline(always)]
pub(crate) fn write_to<T>(slot: u32, record: &T) -> bool {
    let Some(room) = reserve(slot, size_of::<T>()) else {
        return false;
    };
    // SAFETY: records are multiples of eight bytes; both sides have that many.
    unsafe { copy_words(core::ptr::from_ref(record).cast(), room, words::<T>()) };
    submit(room);
    true
}

/// The words that a record of this type has.
pub(crate) const fn words<T>() -> usize {
    size_of::<T>() / 8
}

/// Copies words one by one: the compiler knows no `memcpy` here.
///
/// # Safety
///
/// Both sides have that many words, and nobody else writes them.
#[inline(always)]
pub(crate) unsafe fn copy_words(from: *const u64, to: *mut u64, words: usize) {
    let mut word = 0;
    while word < words {
        // SAFETY: the caller's.
        unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
        word += 1;
    }
}

/// Writes zeros, word by word.
///
/// # Safety
///
/// There are that many words, and nobody else writes them.
#[inline(always)]
pub(crate) unsafe fn zero_words(to: *mut u64, words: usize) {
    let mut word = 0;
    while word < words {
        // SAFETY: the caller's.
        unsafe { to.add(word).write_volatile(0) };
        word += 1;
    }
}
