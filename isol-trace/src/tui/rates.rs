//! Per-second figures from successive totals, over a short moving window.
//!
//! Totals only ever grow, so a rate is the difference of two of them over the time
//! between: nothing is sampled, and a burst between two updates is not missed.

use std::collections::VecDeque;

use isol_trace_common::cause::{CAUSE_SLOTS, Cause};

use crate::event::{
    ids::{Cpu, MonoNanos, Nanos},
    model::{CpuSummary, Totals},
};

/// How far back a rate looks.
pub const WINDOW: Nanos = Nanos(2_000_000_000);
/// Totals that come closer together than this share a sample.
const SPACING: Nanos = Nanos(200_000_000);

/// The part of some totals that rates are made of.
#[derive(Clone, Debug)]
struct Sample {
    at: MonoNanos,
    /// In order.
    cpus: Vec<CpuSample>,
}

/// The part of one CPU.
#[derive(Clone, Copy, Debug)]
struct CpuSample {
    cpu: Cpu,
    entries: u64,
    kernel: Option<Nanos>,
    /// Breaches by cause.
    causes: [u64; CAUSE_SLOTS],
}

impl Sample {
    const fn nothing(at: MonoNanos) -> Self {
        Self {
            at,
            cpus: Vec::new(),
        }
    }

    fn of(totals: &Totals) -> Self {
        let mut sample = Self::nothing(totals.at);
        sample.cpus = totals.cpus.iter().map(CpuSample::of).collect();
        sample.cpus.sort_unstable_by_key(|sample| sample.cpu);
        sample
    }

    /// What a sample does not know of had not begun to count.
    fn cpu(&self, wanted: Cpu) -> Option<&CpuSample> {
        let index = self.cpus.binary_search_by_key(&wanted, |sample| sample.cpu);
        index.ok().and_then(|index| self.cpus.get(index))
    }

    fn sum(&self, only: Option<Cpu>, figure: impl Fn(&CpuSample) -> u64) -> u64 {
        match only {
            Some(cpu) => self.cpu(cpu).map_or(0, figure),
            None => self.cpus.iter().map(figure).sum(),
        }
    }
}

impl CpuSample {
    fn of(summary: &CpuSummary) -> Self {
        let mut causes = [0; CAUSE_SLOTS];
        for cause in &summary.causes {
            if let Some(count) = causes.get_mut(cause.cause as usize) {
                *count += cause.count;
            }
        }
        Self {
            cpu: summary.cpu,
            entries: summary.entries,
            kernel: summary.kernel,
            causes,
        }
    }

    fn cause(&self, cause: Cause) -> u64 {
        self.causes.get(cause as usize).copied().unwrap_or(0)
    }
}

/// The moving window.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Oldest first; the first one is at least [`WINDOW`] old as soon as there is one that old.
    history: VecDeque<Sample>,
    latest: Option<Sample>,
}

impl Rates {
    /// Counting starts from nothing at `at`.
    #[must_use]
    pub fn starting(at: MonoNanos) -> Self {
        Self {
            history: VecDeque::from([Sample::nothing(at)]),
            latest: None,
        }
    }

    /// Rates of a whole run, from its last totals.
    #[must_use]
    pub fn of_run(start: MonoNanos, totals: &Totals) -> Self {
        Self {
            history: VecDeque::from([Sample::nothing(start)]),
            latest: Some(Sample::of(totals)),
        }
    }

    /// Takes newer totals.
    pub fn push(&mut self, totals: &Totals) {
        let sample = Sample::of(totals);
        if let Some(previous) = self.latest.replace(sample)
            && self
                .history
                .back()
                .is_none_or(|last| since(last.at, previous.at) >= SPACING)
        {
            self.history.push_back(previous);
        }
        while self
            .history
            .get(1)
            .is_some_and(|second| since(second.at, totals.at) >= WINDOW)
        {
            self.history.pop_front();
        }
    }

    /// How fast a figure grew between the two ends of the window; `None` until there
    /// are two totals to compare.
    fn growth(&self, only: Option<Cpu>, figure: impl Fn(&CpuSample) -> u64) -> Option<f64> {
        let (old, new) = (self.history.front()?, self.latest.as_ref()?);
        let nanos = since(old.at, new.at).0;
        let grown = new
            .sum(only, &figure)
            .saturating_sub(old.sum(only, &figure));
        (nanos > 0).then(|| grown as f64 * 1e9 / nanos as f64)
    }

    /// Entries a second of a CPU.
    #[must_use]
    pub fn entries(&self, cpu: Cpu) -> Option<f64> {
        self.growth(Some(cpu), |sample| sample.entries)
    }

    /// Entries a second of all CPUs.
    #[must_use]
    pub fn all(&self) -> Option<f64> {
        self.growth(None, |sample| sample.entries)
    }

    /// The share of its time that a CPU spent in the kernel. An entry is booked when it
    /// ends, so one that is longer than the window would give more than the whole: 1.
    #[must_use]
    pub fn share(&self, cpu: Cpu) -> Option<f64> {
        let latest = self.latest.as_ref()?.cpu(cpu);
        if latest.is_some_and(|sample| sample.kernel.is_none()) {
            return None;
        }
        let growth = self.growth(Some(cpu), |sample| sample.kernel.unwrap_or_default().0)?;
        Some((growth / 1e9).min(1.0))
    }

    /// Breaches a second of one cause, on one CPU or on all.
    #[must_use]
    pub fn cause(&self, cause: Cause, only: Option<Cpu>) -> Option<f64> {
        self.growth(only, |sample| sample.cause(cause))
    }
}

/// The time from one moment to a later one; nothing where it is not later.
#[must_use]
pub const fn since(earlier: MonoNanos, later: MonoNanos) -> Nanos {
    Nanos(later.0.saturating_sub(earlier.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample::cpu_summary;

    const SECOND: u64 = 1_000_000_000;

    fn totals(at: u64, entries: u64, kernel: u64) -> Totals {
        Totals {
            at: MonoNanos(at),
            cpus: vec![CpuSummary {
                kernel: Some(Nanos(kernel)),
                ..cpu_summary(Cpu(1), &[(Cause::Syscall, entries, kernel, 10)])
            }],
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_totals() {
        let rates = Rates::starting(MonoNanos(5));
        assert_eq!(rates.entries(Cpu(1)), None);
        assert_eq!(rates.all(), None);
        let mut headless = Rates::default();
        headless.push(&totals(SECOND, 10, 0));
        assert_eq!(headless.all(), None, "one point has no slope");
    }

    #[test]
    fn a_steady_rate_is_seen_as_such_and_an_end_of_it_too() {
        let mut rates = Rates::starting(MonoNanos(0));
        for tenth in 1..=100 {
            rates.push(&totals(tenth * SECOND / 10, tenth * 5, tenth * 1_000_000));
        }
        let close = |rate: Option<f64>, wanted: f64| {
            assert!(
                rate.is_some_and(|rate| (rate - wanted).abs() < 0.01),
                "{rate:?} {wanted}"
            );
        };
        close(rates.entries(Cpu(1)), 50.0);
        close(rates.all(), 50.0);
        close(rates.cause(Cause::Syscall, None), 50.0);
        close(rates.cause(Cause::Nmi, Some(Cpu(1))), 0.0);
        close(rates.share(Cpu(1)), 0.01);
        for tenth in 101..=130 {
            rates.push(&totals(tenth * SECOND / 10, 500, 100_000_000));
        }
        close(rates.entries(Cpu(1)), 0.0);
        assert!(
            rates.history.len() <= 12,
            "{} samples kept",
            rates.history.len()
        );
    }

    #[test]
    fn a_gap_between_totals_does_not_inflate_the_rate() {
        let mut rates = Rates::starting(MonoNanos(0));
        rates.push(&totals(SECOND, 10, 0));
        rates.push(&totals(11 * SECOND, 110, 0));
        assert_eq!(rates.entries(Cpu(1)), Some(10.0));
    }

    #[test]
    fn a_share_of_what_was_not_measured_is_not_known() {
        let mut rates = Rates::starting(MonoNanos(0));
        let mut unmeasured = totals(SECOND, 10, 0);
        unmeasured.cpus[0].kernel = None;
        rates.push(&unmeasured);
        assert_eq!(rates.share(Cpu(1)), None);
        assert_eq!(rates.entries(Cpu(1)), Some(10.0));
        rates.push(&totals(2 * SECOND, 10, SECOND));
        assert_eq!(rates.share(Cpu(1)), Some(0.5));
    }

    #[test]
    fn totals_that_go_back_give_no_negative_rate() {
        let mut rates = Rates::starting(MonoNanos(0));
        rates.push(&totals(SECOND, 1_000, 5 * SECOND));
        assert_eq!(
            rates.share(Cpu(1)),
            Some(1.0),
            "longer than the window: the whole of it"
        );
        rates.push(&totals(4 * SECOND, 10, 0));
        assert_eq!(rates.entries(Cpu(1)), Some(0.0));
        rates.push(&totals(0, 10, 0));
        assert_eq!(rates.entries(Cpu(1)), None, "no time between: not known");
    }

    #[test]
    fn a_run_has_its_average() {
        let rates = Rates::of_run(MonoNanos(SECOND), &totals(11 * SECOND, 20, 0));
        assert_eq!(rates.all(), Some(2.0));
    }
}
