//! What a term of a filter asks, and how it is written.

use std::{fmt, ops::RangeInclusive};

use isol_trace_common::{activity::Activity, cause::Cause, record::End};

use super::{
    names::{Flag, Form, List, Measure, Number, Text, Values, name_of},
    text::Pattern,
    time::{Length, Span},
};
use crate::event::ids::Nanos;

/// A term, which must hold, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) is_negated: bool,
    pub(super) test: Test,
}

/// What is asked. Of several values one is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// A text, anywhere in task, cause, functions, sender, source or remedy.
    Word(Pattern),
    /// A whole number of the breach.
    Number(Number, Vec<RangeInclusive<u64>>),
    /// A text of the breach.
    Text(Text, Vec<Pattern>),
    /// Its cause.
    Cause(Vec<Cause>),
    /// The kind of one of its activities.
    Activity(Vec<Activity>),
    /// How it ended.
    End(Vec<End>),
    /// A length of time of the breach.
    Measure(Measure, Comparison),
    /// When it was.
    Time(Vec<Span>),
    /// Something that it is or is not.
    Flag(Flag),
}

/// A length of time compared with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) operator: Operator,
    pub(super) limit: Nanos,
}

impl Comparison {
    /// Whether a length of time compares so.
    pub(super) fn holds(self, length: Nanos) -> bool {
        match self.operator {
            Operator::Above => length > self.limit,
            Operator::AtLeast => length >= self.limit,
            Operator::Below => length < self.limit,
            Operator::AtMost => length <= self.limit,
        }
    }
}

/// How two lengths of time compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Operator {
    /// All, those of two signs first.
    pub(super) const ALL: [Self; 4] = [Self::AtLeast, Self::AtMost, Self::Above, Self::Below];

    /// As it is written.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_negated {
            f.write_str("-")?;
        }
        write!(f, "{}", self.test)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word}"),
            Self::Number(number, ranges) => {
                let ranges = ranges.iter().map(|it| match (it.start(), it.end()) {
                    (first, last) if first == last => first.to_string(),
                    (first, last) => format!("{first}-{last}"),
                });
                list(f, Values::Numbers(*number), ranges)
            }
            Self::Text(text, patterns) => list(f, Values::Texts(*text), patterns.iter()),
            Self::Cause(causes) => list(
                f,
                Values::Words(List::Causes),
                causes.iter().map(|it| it.word()),
            ),
            Self::Activity(kinds) => list(
                f,
                Values::Words(List::Activities),
                kinds.iter().map(|it| it.word()),
            ),
            Self::End(ends) => list(
                f,
                Values::Words(List::Ends),
                ends.iter().map(|it| it.word()),
            ),
            Self::Measure(measure, limit) => {
                write!(f, "{}{limit}", name_of(Form::Measure(*measure)))
            }
            Self::Time(spans) => list(f, Values::Spans, spans.iter()),
            Self::Flag(flag) => f.write_str(name_of(Form::Flag(*flag))),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.operator.sign(), Length(self.limit))
    }
}

/// Writes the name of values of a kind, and the values.
fn list(
    f: &mut fmt::Formatter<'_>,
    kind: Values,
    values: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    write!(f, "{}:", name_of(Form::Values(kind)))?;
    for (n, value) in values.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        write!(f, "{comma}{value}")?;
    }
    Ok(())
}
