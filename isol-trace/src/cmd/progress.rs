//! Progress on stderr, where a person waits.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use super::{signals, stderr};
use crate::{
    bpf::attach::Step,
    consume::Consumer,
    event::model::{Event, Totals},
    host::cpu_list::CpuSet,
};

/// Between two looks of a line that changes fast.
const FRAME: Duration = Duration::from_millis(100);

/// The phase in which the probes are attached: half of it can be most of a minute on a slow machine.
#[derive(Debug)]
pub struct Attaching {
    cpus: String,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Attaching {
    /// Says that it begins.
    #[must_use]
    pub fn begin(cpus: &CpuSet, terminal: bool) -> Self {
        let attaching = Self {
            cpus: cpus.in_words(),
            started: Instant::now(),
            shown: None,
            terminal,
        };
        if terminal {
            stderr::show(&format!("attaching probes for {} …", attaching.cpus));
        } else {
            stderr::say(&format!("attaching probes for {} …", attaching.cpus));
        }
        attaching
    }

    /// Shows how far it has come, and breaks it off where a signal has come meanwhile.
    pub fn step(&mut self, step: Step) -> ControlFlow<()> {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= FRAME);
        if self.terminal && is_due {
            self.shown = Some(Instant::now());
            stderr::show(&attaching(&self.cpus, step, self.started.elapsed()));
        }
        match signals::require_none() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

impl Drop for Attaching {
    fn drop(&mut self) {
        stderr::clear();
    }
}

/// The phase in which the account is closed and the probes are detached: seconds on a slow machine.
#[derive(Debug)]
pub struct Detaching(());

impl Detaching {
    /// Says that it begins, on a terminal.
    #[must_use]
    pub fn begin(terminal: bool) -> Self {
        if terminal {
            stderr::show("detaching probes …");
        }
        Self(())
    }
}

impl Drop for Detaching {
    fn drop(&mut self) {
        stderr::clear();
    }
}

fn attaching(cpus: &str, step: Step, elapsed: Duration) -> String {
    format!(
        "attaching probes for {cpus}: {} of {}, {} s",
        step.done,
        step.of,
        elapsed.as_secs()
    )
}

/// One line that is written over, until `stderr::clear`; nothing at all where stderr is no terminal.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    duration: Option<Duration>,
    terminal: bool,
}

impl Progress {
    /// Progress towards `duration`, or just progress.
    #[must_use]
    pub fn new(duration: Option<Duration>, terminal: bool) -> Self {
        Self {
            started: Instant::now(),
            duration,
            terminal,
        }
    }
}

impl Consumer for Progress {
    fn event(&mut self, _: &Event) {}

    fn totals(&mut self, totals: &Totals) {
        if self.terminal {
            stderr::show(&line(self.started.elapsed(), self.duration, totals));
        }
    }

    fn warning(&mut self, warning: &str) {
        stderr::say(warning);
    }
}

fn line(elapsed: Duration, duration: Option<Duration>, totals: &Totals) -> String {
    let entries: u64 = totals.cpus.iter().map(|cpu| cpu.entries).sum();
    let lost: u64 = totals.cpus.iter().map(|cpu| cpu.lost).sum();
    let time = match duration {
        Some(duration) => {
            format!(
                "{} s left",
                duration.saturating_sub(elapsed).as_secs_f64().ceil()
            )
        }
        None => format!("{} s", elapsed.as_secs()),
    };
    format!("{time}: {entries} kernel entries, {lost} records lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attaching_says_how_far_it_has_come() {
        let step = Step { done: 23, of: 87 };
        assert_eq!(
            attaching("CPUs 1-2", step, Duration::from_millis(4_900)),
            "attaching probes for CPUs 1-2: 23 of 87, 4 s"
        );
    }

    #[test]
    fn time_left_is_rounded_up_and_never_negative() {
        let totals = Totals::default();
        let at = |elapsed| {
            line(
                Duration::from_millis(elapsed),
                Some(Duration::from_mins(1)),
                &totals,
            )
        };
        assert_eq!(at(100), "60 s left: 0 kernel entries, 0 records lost");
        assert_eq!(at(59_999), "1 s left: 0 kernel entries, 0 records lost");
        assert_eq!(at(70_000), "0 s left: 0 kernel entries, 0 records lost");
    }
}
