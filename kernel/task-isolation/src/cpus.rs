//! Sets of CPUs, as the kernel writes them: `0,2-3`.

use std::{collections::BTreeSet, fmt};

/// A set of CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpus(BTreeSet<u32>);

impl Cpus {
    /// Reads the kernel's list format; `None` where the text is no list.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for range in text.trim().split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            // No kernel has more: a text with more is none of its lists.
            if last >= Self::MOST {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(Self(cpus))
    }

    /// The most that a configuration of the kernel takes, and some more (`NR_CPUS` of x86 is 8192).
    const MOST: u32 = 1 << 16;

    /// Whether it is in there.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// The one, if there is exactly one.
    pub(crate) fn only(&self) -> Option<u32> {
        match self.0.len() {
            1 => self.0.first().copied(),
            _ => None,
        }
    }

    /// Those that are in either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// Those that are in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }
}

impl FromIterator<u32> for Cpus {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("none");
        }
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(formatter, "{separator}{first}")?;
            if last > first {
                write!(formatter, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for (text, shown) in [("1-2\n", "1-2"), ("0,2-3,5", "0,2-3,5"), ("\n", "none")] {
            assert_eq!(Cpus::parse(text).unwrap().to_string(), shown);
        }
        for text in ["(null)", "1-", "a", "0-4294967295"] {
            assert_eq!(Cpus::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_cpu_is_the_only_one() {
        assert_eq!(Cpus::parse("3").unwrap().only(), Some(3));
        assert_eq!(Cpus::parse("3-4").unwrap().only(), None);
        assert_eq!(Cpus::default().only(), None);
    }
}
