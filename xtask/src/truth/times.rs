//! Where the time of a run went: how long each part took, and which tests took longest.

use std::{cmp::Reverse, fmt, time::Duration};

/// How many tests are named.
const LONGEST: usize = 15;

/// The times so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    parts: Vec<(String, Duration)>,
    tests: Vec<(String, Duration)>,
}

impl Times {
    /// A part of the run took so long.
    pub(crate) fn part(&mut self, name: &str, time: Duration) {
        self.parts.push((name.to_owned(), time));
    }

    /// A test took so long, or all that share its start of the tracer.
    pub(crate) fn test(&mut self, name: &str, time: Duration) {
        self.tests.push((name.to_owned(), time));
    }

    /// What was measured elsewhere comes behind.
    pub(crate) fn merge(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.tests.extend(other.tests);
    }
}

/// A table: the parts in their order, then the longest tests.
impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tests: Vec<_> = self.tests.iter().collect();
        tests.sort_by_key(|(_, time)| Reverse(*time));
        tests.truncate(LONGEST);
        formatter.write_str("seconds")?;
        let row = |name: &str, time: Duration| format!("\n{:7}  {name}", time.as_secs());
        for (name, time) in &self.parts {
            formatter.write_str(&row(name, *time))?;
        }
        formatter.write_str("\n         the longest tests:")?;
        for (name, time) in tests {
            formatter.write_str(&row(name, *time))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order_and_tests_the_longest_first() {
        let mut times = Times::default();
        times.part("6.1", Duration::from_secs(200));
        times.test("6.1 short", Duration::from_millis(2900));
        let mut more = Times::default();
        more.part("6.12", Duration::from_secs(1210));
        more.test("6.12 long", Duration::from_secs(30));
        for number in 0..2 * LONGEST {
            more.test(&format!("none {number}"), Duration::ZERO);
        }
        times.merge(more);
        let table = times.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[..6],
            [
                "seconds",
                "    200  6.1",
                "   1210  6.12",
                "         the longest tests:",
                "     30  6.12 long",
                "      2  6.1 short",
            ]
        );
        assert_eq!(lines.len(), 4 + LONGEST);
    }
}
