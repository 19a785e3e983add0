//! From the monotonic clock to the calendar: RFC 3339 in UTC with nanoseconds.
//!
//! The kernel side stamps with `CLOCK_MONOTONIC`. One [`Anchor`], read when the
//! log begins, places that clock on the calendar for the whole log, so that the
//! order and the distances of a log's times are those of `mono_ns` even when the
//! calendar is set meanwhile.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::event::ids::MonoNanos;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// What to add to the monotonic clock to get the calendar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Calendar minus monotonic, nanoseconds.
    offset: i64,
}

impl Anchor {
    /// Places `mono` at `wall` nanoseconds after 1970 began.
    #[must_use]
    pub const fn new(mono: MonoNanos, wall: i64) -> Self {
        Self {
            offset: wall.saturating_sub_unsigned(mono.0),
        }
    }

    /// Places `mono` at a time as the log spells it, `2026-01-31T23:59:59.000000000Z`; `None`
    /// where the text is no such time.
    #[must_use]
    pub fn of_text(mono: MonoNanos, text: &str) -> Option<Self> {
        read(text).map(|wall| Self::new(mono, wall))
    }

    /// When something was, in nanoseconds since 1970 began, UTC.
    #[must_use]
    pub const fn wall(self, at: MonoNanos) -> i64 {
        self.offset.saturating_add_unsigned(at.0)
    }

    /// Reads both clocks, the calendar's between two readings of the monotonic
    /// one, and keeps the closest of a few tries: an interruption in between would shift the log.
    #[must_use]
    pub fn now() -> Self {
        let mut best = (i64::MAX, Self { offset: 0 });
        for _ in 0..5 {
            let before = nanoseconds(clock_gettime(ClockId::Monotonic));
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = nanoseconds(clock_gettime(ClockId::Monotonic));
            let width = after - before;
            if width < best.0 {
                let middle = before + width / 2;
                best = (
                    width,
                    Self {
                        offset: wall.saturating_sub(middle),
                    },
                );
            }
        }
        best.1
    }
}

/// A reading as one number.
fn nanoseconds(reading: Timespec) -> i64 {
    reading
        .tv_sec
        .saturating_mul(SECOND)
        .saturating_add(reading.tv_nsec)
}

/// Spells times; the text of the second is kept, since most lines share it with the line before.
#[derive(Debug)]
pub(crate) struct Calendar {
    /// Where the monotonic clock lies on the calendar.
    anchor: Anchor,
    /// The second that `text` spells.
    second: Option<i64>,
    /// The last time that was spelled, `2026-01-31T23:59:59.000000000Z`.
    text: String,
}

impl Calendar {
    /// A calendar on `anchor`.
    pub(crate) const fn new(anchor: Anchor) -> Self {
        Self {
            anchor,
            second: None,
            text: String::new(),
        }
    }

    /// The text of `at`.
    pub(crate) fn text(&mut self, at: MonoNanos) -> &str {
        let wall = self.anchor.wall(at);
        let second = wall.div_euclid(SECOND);
        if self.second == Some(second) {
            self.text.truncate(SECONDS);
        } else {
            self.text.clear();
            self.text.extend(spell(second).map(char::from));
            self.second = Some(second);
        }
        // Ten digits with a leading one, which keeps the fraction's leading zeros.
        let fraction = (SECOND + wall.rem_euclid(SECOND)).unsigned_abs();
        let mut digits = itoa::Buffer::new();
        self.text.push('.');
        self.text.push_str(&digits.format(fraction)[1..]);
        self.text.push('Z');
        &self.text
    }

    /// Writes `at`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, at: MonoNanos) {
        out.extend_from_slice(self.text(at).as_bytes());
    }
}

/// The length of a date and time down to the second.
const SECONDS: usize = "2026-01-31T23:59:59".len();

/// Date and time of a second since 1970 began, in UTC.
///
/// The civil calendar in whole 400-year eras that begin on 1 March, after Howard
/// Hinnant's "chrono-compatible low-level date algorithms", `civil_from_days`.
fn spell(second: i64) -> [u8; SECONDS] {
    let day = second.div_euclid(86_400);
    let clock = second.rem_euclid(86_400);
    // Days since 1 March of the year 0.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day_of_month);
    digits(&mut text[11..13], clock / 3_600);
    digits(&mut text[14..16], clock / 60 % 60);
    digits(&mut text[17..19], clock % 60);
    text
}

/// The date of a moment in nanoseconds since 1970 began, UTC: `2026-01-31`.
pub(crate) fn date(wall: i64) -> String {
    let text = spell(wall.div_euclid(SECOND));
    text.into_iter().take(DATE).map(char::from).collect()
}

/// The length of a date.
const DATE: usize = "2026-01-31".len();

/// Nanoseconds since 1970 began of a time as [`Calendar::text`] spells it; `None` for any other text.
pub(crate) fn read(text: &str) -> Option<i64> {
    let fraction = text.get(19..)?.strip_prefix('.')?.strip_suffix('Z')?;
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |range: std::ops::Range<usize>| {
        let part = text.get(range).filter(|part| all_digits(part))?;
        part.parse::<i64>().ok()
    };
    if fraction.len() != 9 || !all_digits(fraction) {
        return None;
    }
    let second = second(
        [number(0..4)?, number(5..7)?, number(8..10)?],
        [number(11..13)?, number(14..16)?, number(17..19)?],
    );
    // A date that is none, and any other sign between the numbers, is not spelled again.
    if spell(second) != *text.as_bytes().first_chunk()? {
        return None;
    }
    second
        .checked_mul(SECOND)?
        .checked_add(fraction.parse().ok()?)
}

/// The second since 1970 began of a date and time in UTC: the inverse of [`spell`], after
/// `days_from_civil` of the same source.
fn second([year, month, day]: [i64; 3], [hour, minute, second]: [i64; 3]) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    days * 86_400 + hour * 3_600 + minute * 60 + second
}

/// Writes the last digits of a number that is not negative, as many as there is room for.
fn digits(room: &mut [u8], value: i64) {
    let mut rest = value.unsigned_abs();
    for place in room.iter_mut().rev() {
        *place = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(second: i64) -> String {
        String::from_utf8(spell(second).to_vec()).expect("digits")
    }

    fn written(calendar: &mut Calendar, at: u64) -> String {
        let mut out = Vec::new();
        calendar.write(&mut out, MonoNanos(at));
        String::from_utf8(out).expect("digits")
    }

    /// Days of a month, counted as people do.
    fn days_in_month(year: i64, month: i64) -> i64 {
        match month {
            4 | 6 | 9 | 11 => 30,
            2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
            2 => 28,
            _ => 31,
        }
    }

    /// The reference: walks the calendar day by day from 1 January 1970, well past the year 2400's leap day.
    #[test]
    fn every_day_until_2500_is_the_next_day() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..193_600_i64 {
            assert_eq!(
                spelled(days * 86_400),
                format!("{year:04}-{month:02}-{day:02}T00:00:00"),
            );
            day += 1;
            if day > days_in_month(year, month) {
                day = 1;
                month += 1;
            }
            if month > 12 {
                month = 1;
                year += 1;
            }
        }
        assert_eq!(year, 2500);
    }

    #[test]
    fn known_moments() {
        // date -u -d @1709210096
        assert_eq!(spelled(1_709_210_096), "2024-02-29T12:34:56");
        assert_eq!(spelled(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(spelled(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(spelled(4_107_542_399), "2100-02-28T23:59:59");
        assert_eq!(spelled(4_107_542_400), "2100-03-01T00:00:00");
        assert_eq!(spelled(-1), "1969-12-31T23:59:59");
    }

    #[test]
    fn a_fraction_keeps_its_leading_zeros() {
        let mut calendar = Calendar::new(Anchor::new(MonoNanos(0), 0));
        assert_eq!(written(&mut calendar, 7), "1970-01-01T00:00:00.000000007Z");
        assert_eq!(
            written(&mut calendar, 999_999_999),
            "1970-01-01T00:00:00.999999999Z"
        );
        assert_eq!(
            written(&mut calendar, 1_000_000_000),
            "1970-01-01T00:00:01.000000000Z"
        );
    }

    #[test]
    fn the_anchor_now_is_the_clocks_now() {
        let anchor = Anchor::now();
        let mono = nanoseconds(clock_gettime(ClockId::Monotonic));
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        let apart = (anchor.offset + mono - wall).abs();
        assert!(apart < SECOND, "{apart} ns apart");
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        let at = |text: &str| Anchor::of_text(MonoNanos(0), text);
        let anchor = Anchor::new(MonoNanos(7), 1_769_860_799_000_000_000);
        let text = "2026-01-31T11:59:59.000000000Z";
        assert_eq!(Anchor::of_text(MonoNanos(7), text), Some(anchor));
        for text in [
            "",
            "2026-01-31T11:59:59Z",
            "2026-01-31T11:59:59.000000000",
            "2026-01-31T11:59:59.00000000Z",
            "2026-02-30T11:59:59.000000000Z",
            "2026-01-31T24:00:00.000000000Z",
            "2026-01-31 11:59:59.000000000Z",
            "2026-01-31T11:59:59.+00000000Z",
            "+026-01-31T11:59:59.000000000Z",
            "\u{e9}026-01-31T11:59:59.00000000Z",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_reads_back(wall in -2_000_000_000_000_000_000_i64..i64::MAX / 2) {
            let anchor = Anchor::new(MonoNanos(0), wall);
            let text = written(&mut Calendar::new(anchor), 0);
            prop_assert_eq!(Anchor::of_text(MonoNanos(0), &text), Some(anchor));
        }

        #[test]
        fn no_text_panics(text in "[0-9T:.Z+\u{e9}-]{0,32}") {
            let _ = Anchor::of_text(MonoNanos(0), &text);
        }

        /// The kept second never leaks into another: in any order, a shared calendar writes what a fresh one writes.
        #[test]
        fn the_kept_second_does_not_matter(
            offset in 0_i64..4_000_000_000_000_000_000,
            times in proptest::collection::vec(0_u64..4_000_000_000, 1..20),
        ) {
            let anchor = Anchor::new(MonoNanos(0), offset);
            let mut shared = Calendar::new(anchor);
            for at in times {
                let fresh = written(&mut Calendar::new(anchor), at);
                prop_assert_eq!(written(&mut shared, at), fresh);
            }
        }

        /// Hours, minutes, seconds and fraction add up to the time again.
        #[test]
        fn the_clock_part_reads_back(wall in 0_i64..4_000_000_000_000_000_000) {
            let mut calendar = Calendar::new(Anchor::new(MonoNanos(0), wall));
            let text = written(&mut calendar, 0);
            prop_assert_eq!(text.len(), "2026-01-31T23:59:59.000000000Z".len());
            let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("digits");
            let second = part(11..13) * 3_600 + part(14..16) * 60 + part(17..19);
            prop_assert_eq!(second * SECOND + part(20..29), wall.rem_euclid(86_400 * SECOND));
        }
    }
}
