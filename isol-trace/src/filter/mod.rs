//! Filters: the one language in which breaches are picked.
//!
//! A filter is a list of terms that must all hold. A [`Filter`] is parsed once and then asked of each
//! breach ([`Filter::takes`]). `docs/filters.md` describes the language.

mod error;
mod hold;
mod names;
mod parse;
mod select;
mod term;
mod text;
mod time;

use std::{fmt, str::FromStr};

pub use error::FilterError;
pub use hold::Subject;
use names::{Flag, Measure};
pub use select::Select;
use term::{Term, Test};

/// What a filter asks of a breach: all of its terms. Without any it takes every breach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    /// Whether the filter takes a breach.
    #[must_use]
    pub fn takes(&self, subject: &Subject<'_>) -> bool {
        self.terms.iter().all(|term| subject.holds(term))
    }

    /// Whether it asks how long a task was away, which a log tells after the breach.
    #[must_use]
    pub fn asks_away(&self) -> bool {
        self.asks(|test| matches!(test, Test::Measure(Measure::Away, _)))
    }

    /// Whether it asks what a baseline has.
    #[must_use]
    pub fn asks_baseline(&self) -> bool {
        self.asks(|test| matches!(test, Test::Flag(Flag::New)))
    }

    fn asks(&self, what: impl Fn(&Test) -> bool) -> bool {
        self.terms.iter().any(|term| what(&term.test))
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::terms(text).map(|terms| Self { terms })
    }
}

/// As it can be typed: a filter that is parsed from this text is the same.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{term}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
