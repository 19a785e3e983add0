//! What crosses from kernel to user space keeps its place.

use core::{
    cell::Cell,
    mem::{align_of, offset_of, size_of},
};

use super::{
    super::{CpuState, away::Away},
    scenes::still,
};
use crate::{
    activity::Activity,
    cause::{CAUSE_SLOTS, Cause},
    config::{Config, Control, Offsets, PreemptCount, Watch},
    ledger::{BUCKETS, CauseTotals, Ledger},
    record::{ActivityRecord, Entry, FullEntry, MAX_ACTIVITIES},
};

#[test]
fn totals_are_pinned() {
    assert_eq!(BUCKETS, 32);
    assert_eq!(CAUSE_SLOTS, 32);
    assert_eq!(size_of::<CauseTotals>(), 36 * 8);
    assert_eq!(offset_of!(CauseTotals, total_ns), 8);
    assert_eq!(offset_of!(CauseTotals, max_ns), 16);
    assert_eq!(offset_of!(CauseTotals, untimed), 24);
    assert_eq!(offset_of!(CauseTotals, histogram), 32);
    assert_eq!(size_of::<Ledger>(), (13 + 36 * 32) * 8);
    assert_eq!(offset_of!(Ledger, unattributed), 8);
    assert_eq!(offset_of!(Ledger, filtered), 16);
    assert_eq!(offset_of!(Ledger, lost), 24);
    assert_eq!(offset_of!(Ledger, lost_notes), 32);
    assert_eq!(offset_of!(Ledger, kernel_ns), 40);
    assert_eq!(offset_of!(Ledger, idle_ns), 48);
    assert_eq!(offset_of!(Ledger, away_ns), 56);
    assert_eq!(offset_of!(Ledger, max_ns), 64);
    assert_eq!(offset_of!(Ledger, dropped_activities), 72);
    assert_eq!(offset_of!(Ledger, tainted), 80);
    assert_eq!(offset_of!(Ledger, own_entries), 88);
    assert_eq!(offset_of!(Ledger, open), 96);
    assert_eq!(offset_of!(Ledger, causes), 104);
    assert_eq!(size_of::<Ledger>(), size_of::<Ledger<Cell<u64>>>());
}

#[test]
fn what_user_space_hands_over_is_pinned() {
    assert_eq!(size_of::<Control>(), 8);
    assert_eq!(offset_of!(Control, generation), 4);
    assert_eq!(size_of::<Away>(), 40);
    assert_eq!(offset_of!(Away, in_call), 24);
    assert_eq!(size_of::<Offsets>(), 43 * 4);
    assert_eq!(offset_of!(Offsets, regs_args), 24);
    assert_eq!(size_of::<Config>(), 44 + 64 + 43 * 4 + 24 + 8);
    assert_eq!(offset_of!(Config, offsets), 108);
    assert_eq!(offset_of!(Config, preempt_count), 108 + 43 * 4);
    assert_eq!(size_of::<Watch>(), 2 * 512);
    assert_eq!(offset_of!(Watch, vectors), 512);
    assert_eq!(size_of::<PreemptCount>(), 24);
}

/// One CPU's state shares no cache line with another's, and is whole words for the reader.
#[test]
fn the_state_of_a_cpu_is_pinned() {
    assert_eq!(align_of::<CpuState>(), 64);
    assert_eq!(size_of::<CpuState>() % 64, 0);
    assert_eq!(offset_of!(CpuState, phase), 0);
    assert_eq!(offset_of!(CpuState, notes), 12);
    assert_eq!(offset_of!(CpuState, accounted_ns), 24);
    assert_eq!(offset_of!(CpuState, entry), 64);
    assert_eq!(offset_of!(CpuState, frames), 64 + 616);
    assert_eq!(offset_of!(CpuState, ledger), 64 + 616 + 8 * 24 + 40);
    assert_eq!(offset_of!(CpuState, user_since_ns), 40);
}

/// The machine packs four fields into a word here and there: each must come out where the
/// record has it.
#[test]
fn cells_read_as_the_record() {
    let sim = still();
    let cells = &sim.state.entry;
    cells.head.set(super::super::head(1, 2, 3, 4));
    cells.tid.set(5);
    cells.opened_ns.set(6);
    cells.duration_ns.set(7);
    cells.ip.set(8);
    cells.number.set(9);
    cells.counts.set(u32::from_le_bytes([10, 11, 0, 0]));
    cells.subject.set(12);
    cells.args[5].set(13);
    cells.idle_ns.set(14);
    let last = &cells.activities[MAX_ACTIVITIES - 1];
    last.head.set(u32::from_le_bytes([15, 16, 0, 0]));
    last.number.set(17);
    last.subject[1].set(18);
    last.net_ns.set(19);
    // SAFETY: plain words on both sides, of the same size.
    let record = unsafe {
        core::ptr::from_ref(cells)
            .cast::<FullEntry<MAX_ACTIVITIES>>()
            .read()
    };
    let entry = Entry {
        kind: 1,
        cause: 2,
        end: 3,
        flags: 4,
        tid: 5,
        opened_ns: 6,
        duration_ns: 7,
        ip: 8,
        number: 9,
        activities: 10,
        dropped_activities: 11,
        reserved: 0,
        subject: 12,
    };
    let activity = ActivityRecord {
        kind: 15,
        flags: 16,
        reserved: 0,
        number: 17,
        subject: [0, 18],
        net_ns: 19,
    };
    assert_eq!(record.entry, entry);
    assert_eq!(record.args, [0, 0, 0, 0, 0, 13]);
    assert_eq!(record.idle_ns, 14);
    assert_eq!(record.activities[MAX_ACTIVITIES - 1], activity);
}

/// Wire numbers are append-only: a log of an older version is read by a newer one.
#[test]
fn wire_numbers_are_pinned() {
    for (n, word) in [
        "unknown",
        "syscall",
        "page_fault",
        "exception",
        "device_irq",
        "local_timer",
        "reschedule",
        "call_function",
        "call_function_single",
        "irq_work",
        "platform_ipi",
        "thermal",
        "threshold",
        "deferred_error",
        "apic_error",
        "spurious",
        "nmi",
        "machine_check",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(Cause::from_word(word).map(|of| of as usize), Some(n));
    }
    for (n, word) in [
        "irq",
        "vector",
        "fault",
        "nmi",
        "softirq",
        "timer",
        "hrtimer",
        "work",
        "irq_work",
        "csd",
        "tick",
        "switch",
        "signal",
        "tlb_flush",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(Activity::from_word(word).map(|of| of as usize), Some(n + 1));
    }
}
