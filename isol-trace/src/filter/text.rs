//! Values that are compared with text: as it is, as a glob or as a regular expression.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use super::error::Problem;

/// Bytes that a compiled regular expression may take: who writes a filter need not be trusted.
const REGEX_BYTES: usize = 1 << 20;

/// What a text is compared with.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// The whole text.
    Exact(String),
    /// The whole text, `*`, `?` and `[…]` standing for others.
    Glob(glob::Pattern),
    /// Any part of it.
    Regex(Regex),
    /// Any part of it, small letters and capitals of ASCII alike. Not empty.
    Anywhere(String),
}

impl Pattern {
    /// A glob; one without `*`, `?` or `[` is the whole text.
    pub(super) fn glob(text: &str) -> Result<Self, Problem> {
        if text.contains(['*', '?', '[']) {
            let pattern = glob::Pattern::new(text);
            pattern
                .map(Self::Glob)
                .map_err(|error| Problem::Glob(error.to_string()))
        } else {
            Ok(Self::Exact(text.to_owned()))
        }
    }

    /// A regular expression.
    pub(super) fn regex(text: &str) -> Result<Self, Problem> {
        let mut builder = RegexBuilder::new(text);
        let regex = builder.size_limit(REGEX_BYTES).build();
        let regex = regex.map_err(|error| Problem::Regex(error.to_string()));
        regex.map(Self::Regex)
    }

    /// Whether a text is what was meant.
    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Exact(whole) => whole == text,
            Self::Glob(glob) => glob.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Anywhere(word) => {
                let mut parts = text.as_bytes().windows(word.len().max(1));
                parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
            }
        }
    }

    /// Whether a function is what was meant, given with or without what the log puts behind its name: an offset, its
    /// module, its file.
    pub(super) fn is_function(&self, text: &str) -> bool {
        let end = text.find(['+', ' ']).unwrap_or(text.len());
        let name = text.get(..end).unwrap_or(text);
        self.is_match(text) || (name != text && self.is_match(name))
    }

    /// Whether a place in a source file is what was meant, given with or without its line.
    pub(super) fn is_source(&self, text: &str) -> bool {
        let file = text.rsplit_once(':').map(|(file, _)| file);
        self.is_match(text) || file.is_some_and(|file| self.is_match(file))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other))
            | (Self::Anywhere(one), Self::Anywhere(other)) => one == other,
            (Self::Glob(one), Self::Glob(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            _ => false,
        }
    }
}

impl Eq for Pattern {}

/// As it is typed as a value, in quotes where it would mean something else without.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Anywhere(text) => quoted(f, text),
            Self::Glob(glob) => quoted(f, glob.as_str()),
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str().replace('/', "\\/")),
        }
    }
}

/// Writes a value. What cannot be mistaken for anything else needs no quotes.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let is_plain = text
        .chars()
        .all(|it| it.is_alphanumeric() || "_.*?[]+@%-".contains(it))
        && !text.is_empty()
        && !text.starts_with('-')
        && super::names::form_of(text).is_none();
    if is_plain {
        return f.write_str(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    write!(f, "\"{escaped}\"")
}
