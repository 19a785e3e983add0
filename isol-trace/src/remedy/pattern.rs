//! Names as the table spells them: exact, or with a star at the end.

/// What a name is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The whole name.
    Exact(Box<str>),
    /// How it begins.
    Prefix(Box<str>),
}

impl Pattern {
    /// `name` or `prefix*`; `None` for an empty one, or a star elsewhere.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, prefix) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.is_empty() || name.contains('*') {
            return None;
        }
        Some(if prefix {
            Self::Prefix(name.into())
        } else {
            Self::Exact(name.into())
        })
    }

    /// Whether it is this name. What stands behind a function's name is no part of it: an
    /// offset (`+0x1f`), a module (` [nvme]`), what the compiler made of it (`.isra.0`).
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Prefix(prefix) => name.starts_with(&**prefix),
            Self::Exact(exact) => name
                .strip_prefix(&**exact)
                .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'+' | b' ' | b'.'))),
        }
    }
}

/// Whether no pattern is asked for, or the name is one of them.
pub(super) fn allowed(patterns: &[Pattern], name: Option<&str>) -> bool {
    patterns.is_empty()
        || name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_function_is_no_part_of_its_name() {
        let exact = Pattern::parse("vmstat_update").expect("a pattern");
        for name in [
            "vmstat_update",
            "vmstat_update+0x1f",
            "vmstat_update.isra.0",
            "vmstat_update [mm]",
        ] {
            assert!(exact.matches(name), "{name}");
        }
        for name in ["vmstat_updated", "quiet_vmstat_update", "vmstat", ""] {
            assert!(!exact.matches(name), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_end() {
        let prefix = Pattern::parse("kworker/u*").expect("a pattern");
        assert!(prefix.matches("kworker/u8:1-events_unbound"));
        assert!(!prefix.matches("kworker/1:1"));
    }

    #[test]
    fn a_star_stands_only_at_the_end_and_not_alone() {
        for text in ["", "*", "a*b", "*a", "a**"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
