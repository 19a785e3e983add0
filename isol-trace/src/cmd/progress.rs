//! Progress on stderr, where a person waits.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use crate::event::model::Totals;

/// One line that is written over; nothing at all where stderr is no terminal.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    duration: Option<Duration>,
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// Progress towards `duration`, or just progress.
    #[must_use]
    pub fn new(duration: Option<Duration>, terminal: bool) -> Self {
        Self {
            started: Instant::now(),
            duration,
            terminal,
            shown: false,
        }
    }

    /// Shows how things stand.
    pub fn show(&mut self, totals: &Totals) {
        if !self.terminal {
            return;
        }
        let line = line(self.started.elapsed(), self.duration, totals);
        // A closed stderr is no reason to stop.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
        let _ = io::stderr().flush();
        self.shown = true;
    }

    /// Makes room for something else.
    pub fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
            self.shown = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
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
