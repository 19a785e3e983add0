//! From the totals that the kernel keeps to a summary whose equations hold.

use isol_trace_common::ledger::{BUCKETS, CauseTotals, Ledger};

use crate::{
    bpf::object::Snapshot,
    event::{
        ids::{Cpu, Nanos},
        model::{Cause, CauseSummary, CpuSummary},
    },
};

/// Summarises one CPU.
///
/// An entry that is under way counts as `open`, with the cause that it has so far: it is in
/// `entries` and in its cause's count, and adds no time.
#[must_use]
pub fn cpu_summary(cpu: Cpu, snapshot: &Snapshot) -> CpuSummary {
    let ledger = &snapshot.ledger;
    let open_cause = snapshot.under_way();
    let open = u64::from(open_cause.is_some() && !snapshot.filtered);
    let open_filtered = u64::from(open_cause.is_some() && snapshot.filtered);
    let open_unknown = u64::from(open_cause == Some(Cause::Unknown));
    let entries = ledger.entries + open + open_filtered;
    let unattributed = ledger.unattributed + open_unknown;
    let timed: u64 = ledger.causes.iter().map(timed).sum();
    CpuSummary {
        cpu,
        entries,
        attributed: entries.saturating_sub(unattributed),
        unattributed,
        filtered: ledger.filtered + open_filtered,
        lost: ledger.lost,
        open: open + ledger.open,
        kernel: (timed > 0 || ledger.entries == ledger.filtered).then_some(Nanos(ledger.kernel_ns)),
        idle: Nanos(ledger.idle_ns),
        away: Nanos(ledger.away_ns),
        max: (timed > 0).then_some(Nanos(ledger.max_ns)),
        defects: Some(ledger.tainted),
        causes: causes(ledger, open_cause.filter(|_| open > 0)),
    }
}

fn causes(ledger: &Ledger, open: Option<Cause>) -> Vec<CauseSummary> {
    Cause::ALL
        .iter()
        .filter_map(|&cause| {
            let totals = ledger.causes.get(cause as usize)?;
            let count = totals.count + u64::from(open == Some(cause));
            let is_timed = timed(totals) > 0;
            (count > 0).then(|| CauseSummary {
                cause,
                count,
                total: is_timed.then_some(Nanos(totals.total_ns)),
                max: is_timed.then_some(Nanos(totals.max_ns)),
                p50: quantile(totals, 50),
                p99: quantile(totals, 99),
            })
        })
        .collect()
}

/// Breaches of a cause whose end was seen.
fn timed(totals: &CauseTotals) -> u64 {
    totals.histogram.iter().sum()
}

/// The time that `percent` of the breaches did not exceed, from the log2 histogram: the upper
/// end of its bucket, and never more than the maximum. `None` without a timed breach.
fn quantile(totals: &CauseTotals, percent: u64) -> Option<Nanos> {
    let timed = timed(totals);
    if timed == 0 {
        return None;
    }
    // The rank, counted from one and rounded up.
    let rank = u128::from(timed) * u128::from(percent);
    let rank = rank.div_ceil(100).max(1);
    let mut seen = 0_u128;
    for (bucket, &count) in totals.histogram.iter().enumerate() {
        seen += u128::from(count);
        if seen >= rank {
            let end = if bucket + 1 == BUCKETS {
                u64::MAX
            } else {
                (2 << bucket) - 1
            };
            return Some(Nanos(end.min(totals.max_ns)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use isol_trace_common::{
        cause::CAUSE_SLOTS,
        record::{ActivityRecord, Entry, FullEntry, MAX_ACTIVITIES},
        span::Phase,
    };

    use super::*;

    fn snapshot(phase: Phase, cause: Cause, filtered: bool) -> Snapshot {
        let mut ledger = Ledger::<u64>::EMPTY;
        ledger.entries = 10;
        ledger.unattributed = 1;
        ledger.filtered = 3;
        ledger.causes[Cause::Syscall as usize].count = 6;
        ledger.causes[Cause::Unknown as usize].count = 1;
        Snapshot {
            phase,
            ledger,
            entry: FullEntry {
                entry: Entry {
                    cause: cause as u8,
                    ..Entry::default()
                },
                args: [0; 6],
                idle_ns: 0,
                activities: [ActivityRecord::default(); MAX_ACTIVITIES],
            },
            filtered,
        }
    }

    fn checks(summary: &CpuSummary, records: u64) {
        assert!(summary.balances(records), "{summary:?}");
        let counts: u64 = summary.causes.iter().map(|cause| cause.count).sum();
        assert_eq!(counts, summary.entries - summary.filtered);
    }

    #[test]
    fn the_equations_hold_whatever_is_under_way() {
        assert_eq!(CAUSE_SLOTS, 32);
        checks(
            &cpu_summary(Cpu(1), &snapshot(Phase::Closed, Cause::Unknown, false)),
            7,
        );
        for phase in [Phase::Open, Phase::Settling] {
            let open = cpu_summary(Cpu(1), &snapshot(phase, Cause::Syscall, false));
            assert_eq!((open.entries, open.open, open.unattributed), (11, 1, 1));
            checks(&open, 7);
            let unknown = cpu_summary(Cpu(1), &snapshot(phase, Cause::Unknown, false));
            assert_eq!((unknown.unattributed, unknown.attributed), (2, 9));
            checks(&unknown, 7);
            let filtered = cpu_summary(Cpu(1), &snapshot(phase, Cause::Syscall, true));
            assert_eq!((filtered.filtered, filtered.open), (4, 0));
            checks(&filtered, 7);
        }
    }

    /// What was not measured is absent, rather than nothing.
    #[test]
    fn a_time_is_there_only_if_an_end_was_seen() {
        let mut snapshot = snapshot(Phase::Closed, Cause::Unknown, false);
        let times = |snapshot: &Snapshot| {
            let summary = cpu_summary(Cpu(1), snapshot);
            let of_causes = summary.causes.iter().map(|it| (it.total, it.max));
            let of_causes: Vec<_> = of_causes.collect();
            (summary.kernel, summary.max, of_causes)
        };
        assert_eq!(times(&snapshot), (None, None, vec![(None, None); 2]));
        let calls = &mut snapshot.ledger.causes[Cause::Syscall as usize];
        (calls.histogram[0], calls.untimed) = (1, 5);
        let nothing = Some(Nanos(0));
        assert_eq!(
            times(&snapshot),
            (nothing, nothing, vec![(None, None), (nothing, nothing)]),
            "a breach may take no time that the clock tells"
        );
        snapshot.ledger = Ledger::EMPTY;
        (snapshot.ledger.entries, snapshot.ledger.filtered) = (9, 9);
        assert_eq!(
            times(&snapshot),
            (nothing, None, Vec::new()),
            "no breach takes no time, and none is the longest"
        );
    }

    #[test]
    fn quantiles_come_from_the_histogram() {
        let mut totals = CauseTotals::<u64>::EMPTY;
        assert_eq!(quantile(&totals, 50), None);
        totals.histogram[3] = 98;
        totals.histogram[10] = 2;
        totals.max_ns = 1500;
        assert_eq!(quantile(&totals, 50), Some(Nanos(15)));
        assert_eq!(quantile(&totals, 98), Some(Nanos(15)));
        assert_eq!(
            quantile(&totals, 99),
            Some(Nanos(1500)),
            "never above the maximum"
        );
        totals.histogram = [0; BUCKETS];
        totals.histogram[0] = 1;
        totals.max_ns = 0;
        assert_eq!(quantile(&totals, 99), Some(Nanos(0)));
    }
}
