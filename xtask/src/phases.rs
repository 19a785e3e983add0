//! How long the parts of a long run took: whoever wants it shorter sees where to begin.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The parts so far.
#[derive(Debug)]
pub(crate) struct Phases {
    since: Instant,
    done: Vec<(String, Duration)>,
}

impl Phases {
    /// The first part begins now.
    pub(crate) fn begin() -> Self {
        Self {
            since: Instant::now(),
            done: Vec::new(),
        }
    }

    /// A part has ended, and the next begins.
    pub(crate) fn end(&mut self, name: &str) {
        let now = Instant::now();
        self.done.push((name.to_owned(), now - self.since));
        self.since = now;
    }

    /// The parts so far and how long each took.
    pub(crate) fn parts(&self) -> &[(String, Duration)] {
        &self.done
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, time)) in self.done.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(formatter, "{comma}{name} {} s", time.as_secs())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_in_order() {
        let done = [("lint", 5), ("host", 70), ("6.1", 20)]
            .map(|(name, seconds)| (name.to_owned(), Duration::from_secs(seconds)));
        let mut phases = Phases {
            since: Instant::now(),
            done: done.to_vec(),
        };
        assert_eq!(phases.to_string(), "lint 5 s, host 70 s, 6.1 20 s");
        phases.end("next");
        assert!(phases.to_string().ends_with(", next 0 s"), "{phases}");
        assert_eq!(phases.parts().len(), 4);
    }
}
