//! Exact totals of one watched CPU, kept in the kernel so that they hold whatever the ring does.

use crate::cause::CAUSE_SLOTS;

/// Buckets of the log2 histogram: bucket `n` counts values in `[2^n, 2^(n+1))` nanoseconds,
/// bucket 0 also zero, and the last one everything above.
pub const BUCKETS: usize = 32;

/// Totals of one cause on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CauseTotals {
    /// Breaches with this cause that have ended.
    pub count: u64,
    /// Sum of their kernel times (duration without idling), nanoseconds.
    pub total_ns: u64,
    /// The longest of them, nanoseconds.
    pub max_ns: u64,
    /// Breaches whose duration was not seen; they are in `count` and in no bucket.
    pub untimed: u64,
    /// Log2 histogram of the kernel times.
    pub histogram: [u64; BUCKETS],
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

/// Totals of one CPU since arming. Only entries that have ended are in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Kernel entries that ended, the filtered ones included.
    pub entries: u64,
    /// Of these, those without a cause.
    pub unattributed: u64,
    /// Of these, those that a filter left out: no record is written for them and
    /// they are in no cause's totals.
    pub filtered: u64,
    /// Records of entries that did not fit the ring.
    pub lost: u64,
    /// Other records (names, returns) that did not fit the ring.
    pub lost_notes: u64,
    /// Time in the kernel without idling, nanoseconds, breaches only.
    pub kernel_ns: u64,
    /// Time idled inside breaches, nanoseconds.
    pub idle_ns: u64,
    /// Time that victims waited while another task ran, nanoseconds.
    pub away_ns: u64,
    /// The longest kernel time of a breach, nanoseconds.
    pub max_ns: u64,
    /// Activities that an entry's list had no room for.
    pub dropped_activities: u64,
    /// Events that contradicted the machine's state, such as a clock that went back. A number other than 0 is a defect.
    pub tainted: u64,
    /// By cause number.
    pub causes: [CauseTotals; CAUSE_SLOTS],
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
        causes: [CauseTotals::EMPTY; CAUSE_SLOTS],
    };
}

/// The histogram bucket of a time.
#[must_use]
#[inline(always)]
pub const fn bucket(nanoseconds: u64) -> usize {
    // Five halvings: the BPF target has no count-leading-zeros instruction, and
    // the compiler's own expansion multiplies.
    let mut rest = nanoseconds;
    let mut bucket = 0;
    let mut width = 16;
    if rest >> 32 != 0 {
        return BUCKETS - 1;
    }
    while width > 0 {
        if rest >> width != 0 {
            rest >>= width;
            bucket += width;
        }
        width /= 2;
    }
    bucket
}

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
