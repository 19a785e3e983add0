//! How an entry that has been closed leaves as a record, and what is kept of one that finds no room.

use core::mem::offset_of;

use isol_trace_common::{
    kill::{ENTRY_WORDS, HISTORY_ENTRIES},
    ledger::add,
    record::{Entry, FEW_ACTIVITIES, FullEntry, Kind, MAX_ACTIVITIES},
    span::{CpuState, EntryCells},
};

use crate::{
    context::this_cpu,
    maps::OVERFLOW_HISTORY,
    ring::{copy_words, reserve, submit, words},
};

/// Writes the record of a span that has just been closed.
#[inline(never)]
pub(crate) fn write_entry(state: &CpuState, kind: Kind) {
    let done = match kind {
        Kind::EntrySyscall => copy::<{ words::<Entry>() + 6 }>(&state.entry),
        Kind::Entry => copy::<{ words::<Entry>() }>(&state.entry),
        Kind::EntryFew => copy::<{ words::<FullEntry<FEW_ACTIVITIES>>() }>(&state.entry),
        _ => copy::<{ words::<FullEntry<MAX_ACTIVITIES>>() }>(&state.entry),
    };
    written(state, done);
}

/// Writes the record of a system call in which nothing else happened: by far the most frequent, and
/// without a call.
#[inline(always)]
pub(crate) fn write_plain_syscall(state: &CpuState) {
    written(state, copy::<{ words::<Entry>() + 6 }>(&state.entry));
}

/// Counts a record that did not fit, and keeps what it told.
#[inline(always)]
fn written(state: &CpuState, done: bool) {
    if !done {
        add(&state.ledger.lost, 1);
        keep_in_history(&state.entry);
    }
}

/// Copies the first words of the span's record to the ring.
#[inline(always)]
fn copy<const WORDS: usize>(entry: &EntryCells) -> bool {
    let Some(room) = reserve(this_cpu(), WORDS * 8) else {
        return false;
    };
    let from = core::ptr::from_ref(entry).cast::<u64>();
    let mut word = 0;
    while word < WORDS {
        // SAFETY: both sides have at least WORDS words; the layouts are asserted equal.
        let (from, to) = unsafe { (from.add(word), room.add(word)) };
        if word == HEAD_WORD || word == NUMBER_WORD {
            copy_halves(from.cast(), to.cast());
        } else {
            // SAFETY: as above.
            let value = unsafe { from.read_volatile() };
            // SAFETY: as above.
            unsafe { to.write_volatile(value) };
        }
        word += 1;
    }
    submit(room);
    true
}

/// The words that were stored as two halves a moment ago, one of them last of all. A load of both
/// at once would wait until the stores have left the store buffer: they cannot be forwarded to it.
const HEAD_WORD: usize = offset_of!(EntryCells, head) / 8;
const NUMBER_WORD: usize = offset_of!(EntryCells, number) / 8;

#[inline(always)]
fn copy_halves(from: *const u32, to: *mut u32) {
    let mut half = 0;
    while half < 2 {
        // SAFETY: the caller's pointers are of whole words.
        let value = unsafe { from.add(half).read_volatile() };
        // SAFETY: as above.
        unsafe { to.add(half).write_volatile(value) };
        half += 1;
    }
}

/// Keeps an entry whose record found no room.
#[inline(never)]
fn keep_in_history(entry: &EntryCells) {
    let Some(room) = OVERFLOW_HISTORY.get(this_cpu()) else {
        return;
    };
    let room = room.get();
    // SAFETY: the pointer is of a live map value of this CPU's own.
    let count = unsafe { (&raw const (*room).count).read_volatile() };
    let place = count as usize & (HISTORY_ENTRIES - 1);
    // SAFETY: `place` is within bounds, and an entry's cells are longer than a place.
    unsafe {
        let places = (&raw mut (*room).entries).cast::<u64>();
        copy_words(
            core::ptr::from_ref(entry).cast(),
            places.add(place * ENTRY_WORDS),
            ENTRY_WORDS,
        );
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*room).count).write_volatile(count + 1) };
}
