//! Why a text is no filter: where, what is wrong there, and what was probably meant.

use std::fmt;

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where in the text the fault begins: so many characters are before it.
    pub position: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at a place in a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No key or measure has this name.
    #[error("no filter is called '{name}'{}", Meant(.nearest))]
    Name {
        /// As typed.
        name: String,
        /// The nearest name, where one is near.
        nearest: Option<String>,
    },
    /// A word that is not in the closed list of its key.
    #[error("'{word}' is no {what}{}", Meant(.nearest))]
    Word {
        /// As typed.
        word: String,
        /// What the list is of.
        what: &'static str,
        /// The nearest word, where one is near.
        nearest: Option<String>,
    },
    /// A key without a value, or nothing before or after a comma.
    #[error("a value is missing here")]
    NoValue,
    /// A dash alone.
    #[error("a term has to follow the dash that negates it")]
    NoTerm,
    /// No second quote.
    #[error("the quote that begins here has no end")]
    OpenQuote,
    /// No second slash.
    #[error("the regular expression that begins here has no end; a slash in it is written \\/")]
    OpenRegex,
    /// Something behind a closing quote or slash.
    #[error("a blank or a comma has to follow here")]
    NotSeparated,
    /// No regular expression.
    #[error("this is no regular expression: {0}")]
    Regex(String),
    /// A regular expression where a number, a word of a list or a time belongs.
    #[error("no regular expression can stand here")]
    NoRegex,
    /// No glob.
    #[error("this is no pattern of file names: {0}")]
    Glob(String),
    /// No number and no range.
    #[error("'{0}' is no number and no range of numbers, such as 2 or 2-5")]
    Number(String),
    /// A time without a unit, or none at all.
    #[error(
        "'{0}' is no length of time; one is a number with a unit (ns, us, ms, s), such as 5us or 1.5ms"
    )]
    Duration(String),
    /// No time of day and no date.
    #[error(
        "'{0}' is no span of time; one is two times of day (UTC) or dates, such as 12:04:09..12:05 or 2026-01-31T12:00..2026-01-31T13:00"
    )]
    Time(String),
    /// A measure that is compared with nothing, or a key that is.
    #[error("'{name}' is written {example}")]
    Form {
        /// The name.
        name: &'static str,
        /// How it is written.
        example: &'static str,
    },
}

/// The end of a sentence that names the nearest word.
struct Meant<'a>(&'a Option<String>);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(word) => write!(f, "; did you mean '{word}'?"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.position + 1, self.problem)
    }
}

impl std::error::Error for FilterError {}

/// The word that is nearest to what was typed, if one is near enough to have been meant.
pub(super) fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    /// As clap has it for its own words.
    const NEAR: f64 = 0.7;

    words
        .map(|word| (strsim::jaro_winkler(typed, word), word))
        .filter(|(likeness, _)| *likeness > NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, word)| word.to_owned())
}
