//! Lengths of time and times of day, as a filter has them.

use std::fmt;

use crate::{clock::calendar, event::ids::Nanos};

/// Units, the longest first.
const UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a length of time, `5us` or `1.5ms`; `0` needs no unit. `None` where it is none, or is no whole number of
/// nanoseconds.
pub(super) fn duration(text: &str) -> Option<Nanos> {
    if text == "0" {
        return Some(Nanos(0));
    }
    let end = text.find(|it: char| it.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(end)?;
    let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        let digit = u64::from(digit - b'0');
        if digit > 0 && place % 10 != 0 {
            return None;
        }
        place /= 10;
        nanos = nanos.checked_add(digit * place)?;
    }
    Some(Nanos(nanos))
}

/// A length of time as it is typed, in the largest unit of which it is a whole number.
pub(super) struct Length(pub(super) Nanos);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nanos(nanos) = self.0;
        if nanos == 0 {
            return f.write_str("0");
        }
        let unit = UNITS.into_iter().find(|(_, unit)| nanos % unit == 0);
        let (name, unit) = unit.unwrap_or(("ns", 1));
        write!(f, "{}{name}", nanos / unit)
    }
}

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// A moment: on a day, or on any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Nanoseconds since midnight, UTC.
    OfDay(i64),
    /// Nanoseconds since 1970 began, UTC.
    Dated(i64),
}

/// From one moment to before another; either may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    from: Option<Moment>,
    until: Option<Moment>,
}

impl Span {
    /// Reads `12:04:09..12:05`. `None` where it is no span: both ends are of a day or dated, and one is there.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (from, until) = text.split_once("..")?;
        let end = |text: &str| match text {
            "" => Some(None),
            text => Moment::read(text).map(Some),
        };
        let span = Self {
            from: end(from)?,
            until: end(until)?,
        };
        match (span.from, span.until) {
            (None, None)
            | (Some(Moment::OfDay(_)), Some(Moment::Dated(_)))
            | (Some(Moment::Dated(_)), Some(Moment::OfDay(_))) => None,
            _ => Some(span),
        }
    }

    /// Whether a moment, in nanoseconds since 1970 began, is in it. Of two times of day the first may be the later
    /// one: then midnight is between them.
    pub(super) fn has(&self, wall: i64) -> bool {
        let is_from = self.from.is_none_or(|from| from.is_at_or_before(wall));
        let is_until = self.until.is_none_or(|until| !until.is_at_or_before(wall));
        match (self.from, self.until) {
            (Some(Moment::OfDay(from)), Some(Moment::OfDay(until))) if from > until => {
                is_from || is_until
            }
            _ => is_from && is_until,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |f: &mut fmt::Formatter<'_>, it: Option<Moment>| match it {
            Some(moment) => write!(f, "{moment}"),
            None => Ok(()),
        };
        end(f, self.from)?;
        f.write_str("..")?;
        end(f, self.until)
    }
}

impl Moment {
    fn read(text: &str) -> Option<Self> {
        match text.split_once('T') {
            Some((date, clock)) => {
                let midnight = calendar::read(&format!("{date}T00:00:00.000000000Z"))?;
                let clock = of_day(clock.strip_suffix('Z').unwrap_or(clock))?;
                midnight.checked_add(clock).map(Self::Dated)
            }
            None => of_day(text.strip_suffix('Z').unwrap_or(text)).map(Self::OfDay),
        }
    }

    fn is_at_or_before(self, wall: i64) -> bool {
        match self {
            Self::OfDay(moment) => moment <= wall.rem_euclid(DAY),
            Self::Dated(moment) => moment <= wall,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, clock) = match *self {
            Self::OfDay(clock) => (None, clock),
            Self::Dated(wall) => (Some(wall - wall.rem_euclid(DAY)), wall.rem_euclid(DAY)),
        };
        if let Some(day) = day {
            write!(f, "{}T", calendar::date(day))?;
        }
        let (seconds, nanos) = (clock / 1_000_000_000, clock % 1_000_000_000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}", seconds % 60)?;
        if nanos > 0 {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

/// Reads `12:05`, `12:04:09` or `12:04:09.25` as nanoseconds since midnight.
fn of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let two = |part: &str, most: i64| {
        let is_two = part.len() == 2 && part.bytes().all(|it| it.is_ascii_digit());
        let number = is_two.then(|| part.parse::<i64>().ok()).flatten()?;
        (number <= most).then_some(number)
    };
    let hours = two(parts.next()?, 23)?;
    let minutes = two(parts.next()?, 59)?;
    let (seconds, nanos) = match parts.next() {
        None => (0, 0),
        Some(part) => {
            let (seconds, fraction) = part.split_once('.').unwrap_or((part, "0"));
            let is_fraction =
                matches!(fraction.len(), 1..=9) && fraction.bytes().all(|it| it.is_ascii_digit());
            let padded = is_fraction.then(|| format!("{fraction:0<9}"))?;
            (two(seconds, 59)?, padded.parse().ok()?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos)
}
