//! Files that not every host has: what one says, that it is not there, or why it is unusable.
//!
//! Nothing here ends a command: a check that lacks its file says so instead.

use std::fs;

use super::{Host, HostError, cpu_list::CpuSet, cpu_mask};

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// This.
    Known(T),
    /// There is no such file: the kernel lacks what it would tell of.
    Absent,
    /// It is there and cannot be used; the text names it and says why.
    Unreadable(String),
}

impl<T> Reading<T> {
    /// The value, where there is one.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(convert(value)),
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
        }
    }

    /// This, or where there is no such file, that of another.
    #[must_use]
    pub fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Absent => other(),
            found => found,
        }
    }
}

impl Host {
    /// Reads a file and makes a value of its text, which comes without white space at its ends.
    pub(super) fn reading<T>(
        &self,
        path: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Reading<T> {
        match self.read(path) {
            Ok(None) => Reading::Absent,
            Ok(Some(text)) => parse(text.trim_ascii()).map_or_else(
                || {
                    Reading::Unreadable(format!(
                        "{path} does not hold what the kernel writes there"
                    ))
                },
                Reading::Known,
            ),
            Err(HostError::Unreadable { source, .. }) => {
                Reading::Unreadable(format!("cannot read {path}: {source}"))
            }
            Err(error) => Reading::Unreadable(error.to_string()),
        }
    }

    /// A number.
    pub(super) fn number(&self, path: &str) -> Reading<i64> {
        self.reading(path, |text| text.parse().ok())
    }

    /// A list of CPUs, `(null)` for none as [`Host::nohz_full`] explains.
    pub(crate) fn cpu_list(&self, path: &str) -> Reading<CpuSet> {
        self.reading(path, |text| match text {
            "(null)" => Some(CpuSet::new()),
            text => text.parse().ok(),
        })
    }

    /// A bit mask of CPUs.
    pub(super) fn cpu_mask(&self, path: &str) -> Reading<CpuSet> {
        self.reading(path, cpu_mask::parse)
    }

    /// The names in a folder, sorted; none where it is not there or cannot be read.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// The numbers that the names in a folder are, upwards.
    pub(super) fn numbers(&self, path: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .names(path)
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_unreadable_and_known_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/folder")).unwrap();
        fs::write(folder.path().join("a/number"), "-1\n").unwrap();
        fs::write(folder.path().join("a/word"), "many\n").unwrap();
        fs::write(folder.path().join("a/null"), "(null)\n").unwrap();
        let host = Host::new(folder.path());
        assert_eq!(host.number("/a/number"), Reading::Known(-1));
        assert_eq!(host.number("/a/none"), Reading::Absent);
        assert_eq!(
            host.number("/a/word"),
            Reading::Unreadable("/a/word does not hold what the kernel writes there".to_owned())
        );
        assert!(matches!(
            host.number("/a/folder"),
            Reading::Unreadable(why) if why.starts_with("cannot read /a/folder: ")
        ));
        assert_eq!(host.cpu_list("/a/null"), Reading::Known(CpuSet::new()));
        assert_eq!(host.names("/a"), ["folder", "null", "number", "word"]);
        assert_eq!(host.names("/b"), [""; 0]);
    }

    #[test]
    fn only_an_absent_file_is_replaced_by_another() {
        let other = || Reading::Known(2);
        assert_eq!(Reading::Absent.or_else(other), Reading::Known(2));
        assert_eq!(Reading::Known(1).or_else(other), Reading::Known(1));
        let unreadable = Reading::Unreadable("why".to_owned());
        assert_eq!(unreadable.clone().or_else(other), unreadable);
    }
}
