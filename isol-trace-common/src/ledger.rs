//! Exact totals of one watched CPU, kept in the kernel so that they hold whatever the ring does.

use core::cell::Cell;

use crate::cause::{CAUSE_SLOTS, Cause};

/// Buckets of the log2 histogram: bucket `n` counts values in `[2^n, 2^(n+1))` nanoseconds,
/// bucket 0 also zero, and the last one everything above.
pub const BUCKETS: usize = 32;

/// Totals of one cause on one CPU.
///
/// `W` is `u64` for the reader and `Cell<u64>` for the programs that post.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct CauseTotals<W = u64> {
    /// Breaches with this cause that have ended.
    pub count: W,
    /// Sum of their kernel times (duration without idling), nanoseconds.
    pub total_ns: W,
    /// The longest of them, nanoseconds.
    pub max_ns: W,
    /// Breaches whose duration was not seen; they are in `count` and in no bucket.
    pub untimed: W,
    /// Log2 histogram of the kernel times.
    pub histogram: [W; BUCKETS],
}

/// Totals of one CPU since arming. Only entries that have ended are in it.
///
/// `W` is `u64` for the reader and `Cell<u64>` for the programs that post.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Ledger<W = u64> {
    /// Kernel entries that ended, the filtered ones included.
    pub entries: W,
    /// Of these, those without a cause.
    pub unattributed: W,
    /// Of these, those that a filter left out: no record is written for them and
    /// they are in no cause's totals.
    pub filtered: W,
    /// Records of entries that did not fit the ring.
    pub lost: W,
    /// Other records (names, returns) that did not fit the ring.
    pub lost_notes: W,
    /// Time in the kernel without idling, nanoseconds, breaches only.
    pub kernel_ns: W,
    /// Time idled inside breaches, nanoseconds.
    pub idle_ns: W,
    /// Time that preempted tasks waited while another task ran, nanoseconds.
    pub away_ns: W,
    /// The longest kernel time of a breach, nanoseconds.
    pub max_ns: W,
    /// Activities that no list had room for.
    pub dropped_activities: W,
    /// Events that contradicted the machine's state, such as a clock that went
    /// back. A number other than 0 is a defect.
    pub tainted: W,
    /// Entries of the tracer's own process.
    pub own_entries: W,
    /// Of the entries, those that were under way when the CPU was watched no longer. Their
    /// records were never written. Posted by user space alone.
    pub open: W,
    /// By cause number.
    pub causes: [CauseTotals<W>; CAUSE_SLOTS],
}

impl CauseTotals {
    /// Nothing counted.
    pub const EMPTY: Self = Self {
        count: 0,
        total_ns: 0,
        max_ns: 0,
        untimed: 0,
        histogram: [0; BUCKETS],
    };
}

impl Ledger {
    /// Nothing counted.
    pub const EMPTY: Self = Self {
        entries: 0,
        unattributed: 0,
        filtered: 0,
        lost: 0,
        lost_notes: 0,
        kernel_ns: 0,
        idle_ns: 0,
        away_ns: 0,
        max_ns: 0,
        dropped_activities: 0,
        tainted: 0,
        own_entries: 0,
        open: 0,
        causes: [CauseTotals::EMPTY; CAUSE_SLOTS],
    };
}

impl Ledger<Cell<u64>> {
    /// Posts an entry that a filter left out.
    #[inline(always)]
    pub fn post_filtered(&self, cause: u8) {
        add(&self.entries, 1);
        add(&self.filtered, 1);
        if cause == Cause::Unknown as u8 {
            add(&self.unattributed, 1);
        }
    }

    /// Posts a breach: `kernel_ns` is its time without idling, `None` where its end was not seen.
    #[inline(always)]
    pub fn post(&self, cause: u8, kernel_ns: Option<u64>, idle_ns: u64) {
        add(&self.entries, 1);
        if cause == Cause::Unknown as u8 {
            add(&self.unattributed, 1);
        }
        if idle_ns != 0 {
            add(&self.idle_ns, idle_ns);
        }
        let totals = &self.causes[cause as usize & (CAUSE_SLOTS - 1)];
        add(&totals.count, 1);
        let Some(kernel_ns) = kernel_ns else {
            add(&totals.untimed, 1);
            return;
        };
        add(&self.kernel_ns, kernel_ns);
        if kernel_ns > self.max_ns.get() {
            self.max_ns.set(kernel_ns);
        }
        add(&totals.total_ns, kernel_ns);
        if kernel_ns > totals.max_ns.get() {
            totals.max_ns.set(kernel_ns);
        }
        add(&totals.histogram[bucket(kernel_ns) & (BUCKETS - 1)], 1);
    }
}

/// Adds to a counter of this CPU. Wraps, as a counter of 64 bits never will.
#[inline(always)]
pub fn add(counter: &Cell<u64>, amount: u64) {
    counter.set(counter.get().wrapping_add(amount));
}

/// The histogram bucket of a time.
#[must_use]
#[inline(always)]
pub const fn bucket(nanoseconds: u64) -> usize {
    // By a table: the BPF target has no count-leading-zeros instruction, and halving
    // again and again is a seventh of what a system call costs. Most entries take less than
    // 65 microseconds.
    let (shift, rest) = if nanoseconds >> 16 == 0 {
        if nanoseconds >> 8 == 0 {
            (0, nanoseconds)
        } else {
            (8, nanoseconds >> 8)
        }
    } else if nanoseconds >> 24 == 0 {
        (16, nanoseconds >> 16)
    } else if nanoseconds >> 32 == 0 {
        (24, nanoseconds >> 24)
    } else {
        return BUCKETS - 1;
    };
    shift + LOG2[(rest & 0xff) as usize] as usize
}

/// Rounded down; of 0 it is 0.
static LOG2: [u8; 256] = {
    let mut table = [0; 256];
    let mut number = 2;
    while number < table.len() {
        table[number] = table[number / 2] + 1;
        number += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1), 0);
        assert_eq!(bucket(2), 1);
        for n in 1..BUCKETS {
            assert_eq!(bucket(1 << n), n);
            assert_eq!(bucket((1 << n) - 1), n - 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(BUCKETS.is_power_of_two());
    }
}
