//! From the text of a filter to its terms.

use std::ops::RangeInclusive;

use isol_trace_common::{activity::Activity, cause::Cause, record::End};

use super::{
    error::{FilterError, Problem, nearest},
    names::{Form, List, NAMES, Values, form_of},
    term::{Comparison, Operator, Term, Test},
    text::Pattern,
    time::{Span, duration},
};

/// Reads all terms of a filter.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut input = Input { text, position: 0 };
    let mut terms = Vec::new();
    loop {
        input.skip(char::is_whitespace);
        if input.rest().is_empty() {
            return Ok(terms);
        }
        terms.push(term(&mut input)?);
    }
}

/// What is left of a text.
struct Input<'a> {
    text: &'a str,
    /// Bytes of it that were read.
    position: usize,
}

impl<'a> Input<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Reads one character, if it is this one.
    fn take(&mut self, expected: char) -> bool {
        let is_there = self.next() == Some(expected);
        if is_there {
            self.position += expected.len_utf8();
        }
        is_there
    }

    /// Reads as long as characters are of a kind.
    fn skip(&mut self, is_one: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|it| !is_one(it)).unwrap_or(rest.len());
        self.position += end;
        rest.get(..end).unwrap_or_default()
    }

    /// The fault of what begins at a byte.
    fn fault(&self, at: usize, problem: Problem) -> FilterError {
        let before = self.text.get(..at).unwrap_or(self.text);
        FilterError {
            position: before.chars().count(),
            problem,
        }
    }

    /// Whether a value or a term may end here.
    fn is_at_end(&self, separators: &[char]) -> bool {
        self.next()
            .is_none_or(|it| it.is_whitespace() || separators.contains(&it))
    }
}

/// A value, and where it begins.
struct Value {
    at: usize,
    text: String,
    is_regex: bool,
}

fn term(input: &mut Input<'_>) -> Result<Term, FilterError> {
    let begin = input.position;
    let is_negated = input.take('-');
    if input.is_at_end(&[]) {
        return Err(input.fault(begin, Problem::NoTerm));
    }
    let test = test(input)?;
    Ok(Term { is_negated, test })
}

fn test(input: &mut Input<'_>) -> Result<Test, FilterError> {
    let at = input.position;
    if input.next() == Some('"') || input.next() == Some('/') {
        let value = value(input, false)?;
        if !input.is_at_end(&[]) {
            return Err(input.fault(input.position, Problem::NotSeparated));
        }
        let word = if value.is_regex {
            Pattern::regex(&value.text)
        } else {
            Ok(Pattern::Anywhere(value.text))
        };
        return word
            .map(Test::Word)
            .map_err(|problem| input.fault(at, problem));
    }
    let name = input.skip(|it| !it.is_whitespace() && !matches!(it, ':' | '<' | '>' | '='));
    match (input.next(), form_of(name)) {
        (None, Some((_, Form::Flag(flag), _))) => Ok(Test::Flag(flag)),
        (Some(it), Some((_, Form::Flag(flag), _))) if it.is_whitespace() => Ok(Test::Flag(flag)),
        (Some('<' | '>'), Some((_, Form::Measure(measure), _))) => {
            comparison(input).map(|limit| Test::Measure(measure, limit))
        }
        (Some(':'), Some((_, Form::Values(kind), _))) => {
            input.take(':');
            values(input, kind)
        }
        (Some(':' | '<' | '>' | '='), Some((name, _, example))) => {
            Err(input.fault(at, Problem::Form { name, example }))
        }
        (Some(':' | '<' | '>'), None) => {
            let nearest = nearest(name, NAMES.iter().map(|(name, ..)| *name));
            let name = name.to_owned();
            Err(input.fault(at, Problem::Name { name, nearest }))
        }
        _ => {
            input.skip(|it| !it.is_whitespace());
            let word = input.text.get(at..input.position).unwrap_or_default();
            Ok(Test::Word(Pattern::Anywhere(word.to_owned())))
        }
    }
}

fn comparison(input: &mut Input<'_>) -> Result<Comparison, FilterError> {
    let rest = input.rest();
    let operator = Operator::ALL
        .into_iter()
        .find(|it| rest.starts_with(it.sign()));
    let operator = operator.ok_or_else(|| input.fault(input.position, Problem::NoValue))?;
    input.position += operator.sign().len();
    let at = input.position;
    let text = input.skip(|it| !it.is_whitespace());
    match duration(text) {
        Some(limit) => Ok(Comparison { operator, limit }),
        None if text.is_empty() => Err(input.fault(at, Problem::NoValue)),
        None => Err(input.fault(at, Problem::Duration(text.to_owned()))),
    }
}

/// Reads the values behind the colon of a name.
fn values(input: &mut Input<'_>, kind: Values) -> Result<Test, FilterError> {
    let (is_text, may_be_path) = match kind {
        Values::Texts(text) => (true, text.has_globs()),
        _ => (false, false),
    };
    let mut all = Vec::new();
    loop {
        let value = value(input, may_be_path)?;
        if value.is_regex && !is_text {
            return Err(input.fault(value.at, Problem::NoRegex));
        }
        all.push(value);
        if !input.is_at_end(&[',']) {
            return Err(input.fault(input.position, Problem::NotSeparated));
        }
        if !input.take(',') {
            break;
        }
    }
    match kind {
        Values::Numbers(number) => each(input, &all, range).map(|it| Test::Number(number, it)),
        Values::Texts(text) => {
            let patterns = each(input, &all, |value| match value {
                Value { is_regex: true, .. } => Pattern::regex(&value.text),
                _ if text.has_globs() => Pattern::glob(&value.text),
                _ => Ok(Pattern::Exact(value.text.clone())),
            });
            patterns.map(|it| Test::Text(text, it))
        }
        Values::Words(List::Causes) => {
            words(input, &all, "cause", Cause::ALL, Cause::word).map(Test::Cause)
        }
        Values::Words(List::Activities) => {
            words(input, &all, "activity", Activity::ALL, Activity::word).map(Test::Activity)
        }
        Values::Words(List::Ends) => words(input, &all, "end", End::ALL, End::word).map(Test::End),
        Values::Spans => each(input, &all, |value| {
            Span::read(&value.text).ok_or_else(|| Problem::Time(value.text.clone()))
        })
        .map(Test::Time),
    }
}

/// Reads each value as a word of a closed list.
fn words<T: Copy>(
    input: &Input<'_>,
    values: &[Value],
    what: &'static str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, FilterError> {
    each(input, values, |Value { text, .. }| {
        let known = all.iter().copied().find(|it| word(*it) == text);
        known.ok_or_else(|| Problem::Word {
            nearest: nearest(text, all.iter().map(|it| word(*it))),
            word: text.clone(),
            what,
        })
    })
}

/// Reads each value; the fault of one is where it begins.
fn each<T>(
    input: &Input<'_>,
    values: &[Value],
    read: impl Fn(&Value) -> Result<T, Problem>,
) -> Result<Vec<T>, FilterError> {
    let read = |value| read(value).map_err(|problem| input.fault(value.at, problem));
    values.iter().map(read).collect()
}

/// Reads a value: in quotes, in slashes or up to a blank or a comma. A path begins with a slash, too: it is a regular
/// expression only where it also ends with one.
fn value(input: &mut Input<'_>, may_be_path: bool) -> Result<Value, FilterError> {
    let at = input.position;
    let (text, is_regex) = if input.next() == Some('"') {
        let text = enclosed(input, '"', true);
        (
            text.ok_or_else(|| input.fault(at, Problem::OpenQuote))?,
            false,
        )
    } else if input.next() == Some('/') && !(may_be_path && is_path(input.rest())) {
        let text = enclosed(input, '/', false);
        (
            text.ok_or_else(|| input.fault(at, Problem::OpenRegex))?,
            true,
        )
    } else {
        (
            input.skip(|it| !it.is_whitespace() && it != ',').to_owned(),
            false,
        )
    };
    if text.is_empty() {
        return Err(input.fault(at, Problem::NoValue));
    }
    Ok(Value { at, text, is_regex })
}

/// Whether what begins with a slash is a path: the word does not end with another.
fn is_path(rest: &str) -> bool {
    let word = rest
        .split(|it: char| it.is_whitespace() || it == ',')
        .next();
    word.is_none_or(|word| word.len() == 1 || !word.ends_with('/'))
}

/// Reads what two signs enclose; `None` where there is no second one. A backslash takes the sign behind it for itself
/// and, in quotes, another backslash; any other pair stays as it is.
fn enclosed(input: &mut Input<'_>, sign: char, is_quoted: bool) -> Option<String> {
    let mut text = String::new();
    let mut is_escaped = false;
    for (at, it) in input.rest().char_indices().skip(1) {
        if is_escaped {
            if it != sign && !(is_quoted && it == '\\') {
                text.push('\\');
            }
            text.push(it);
            is_escaped = false;
        } else if it == '\\' {
            is_escaped = true;
        } else if it == sign {
            input.position += at + it.len_utf8();
            return Some(text);
        } else {
            text.push(it);
        }
    }
    None
}

/// Reads a number or a range.
fn range(value: &Value) -> Result<RangeInclusive<u64>, Problem> {
    let number = |text: &str| {
        let is_one = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        is_one.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, last) = value
        .text
        .split_once('-')
        .unwrap_or((&value.text, &value.text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Problem::Number(value.text.clone())),
    }
}
