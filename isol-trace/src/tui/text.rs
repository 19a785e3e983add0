//! Figures and words for people: short, with units, of known width.

use unicode_width::UnicodeWidthStr;

use crate::{
    event::{
        ids::{Cpu, Nanos},
        model::{Function, Kin, Origin, Sender, Via},
    },
    host::cpu_list::in_words,
};

/// Shown where a value is not known. Never 0.
pub const UNKNOWN: &str = "-";

/// Three significant digits: `1.23`, `12.3`, `123`. For values from 0 to 999.
fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A length of time in at most seven columns: `812 ns`, `2.10 µs`, `31.5 ms`, `1.20 s`, `12m05s`.
#[must_use]
pub fn duration(time: Nanos) -> String {
    let nanos = time.0;
    if nanos < 1_000 {
        return format!("{nanos} ns");
    }
    let value = nanos as f64;
    for (scale, unit) in [(1e3, "µs"), (1e6, "ms")] {
        if value / scale < 999.5 {
            return format!("{} {unit}", three_digits(value / scale));
        }
    }
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0..100 => format!("{} s", three_digits(value / 1e9)),
        100..6_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        6_000..360_000 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        360_000..8_640_000 => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// [`duration`], or [`UNKNOWN`].
#[must_use]
pub fn maybe_duration(time: Option<Nanos>) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), duration)
}

/// A count in full, with separators: `12,345,678`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most seven columns: in full up to 99,999, then `1.23M`.
#[must_use]
pub fn short_count(number: u64) -> String {
    if number < 100_000 {
        return count(number);
    }
    let value = number as f64;
    for (scale, unit) in [(1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P")] {
        if value / scale < 999.5 {
            return format!("{}{unit}", three_digits(value / scale));
        }
    }
    format!("{}E", three_digits(value / 1e18))
}

/// A rate a second in at most five columns: `0`, `0.5`, `12.3`, `1.23k`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second <= 0.0 {
        "0".to_owned()
    } else if per_second < 0.1 {
        "<0.1".to_owned()
    } else if per_second < 9.95 {
        format!("{per_second:.1}")
    } else if per_second < 999.5 {
        three_digits(per_second)
    } else {
        [(1e3, "k"), (1e6, "M")]
            .into_iter()
            .find(|(scale, _)| per_second / scale < 999.5)
            .map_or_else(
                || format!("{:.0}G", per_second / 1e9),
                |(scale, unit)| format!("{}{unit}", three_digits(per_second / scale)),
            )
    }
}

/// A share of 1 in at most six columns: `0%`, `<0.01%`, `0.12%`, `12.3%`, `100%`.
#[must_use]
pub fn share(part: f64) -> String {
    let percent = part * 100.0;
    if percent <= 0.0 {
        "0%".to_owned()
    } else if percent < 0.01 {
        "<0.01%".to_owned()
    } else {
        format!("{}%", three_digits(percent.min(100.0)))
    }
}

/// A stretch of time since the start, as a clock: `00:01:12`.
#[must_use]
pub fn clock(time: Nanos) -> String {
    let seconds = time.0 / 1_000_000_000;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{rest:02}")
}

/// A moment since the start, to the microsecond: `12.345678`, from a minute on `1:12.345678`.
#[must_use]
pub fn moment(time: Nanos) -> String {
    let (seconds, micros) = (time.0 / 1_000_000_000, time.0 % 1_000_000_000 / 1_000);
    match seconds {
        0..60 => format!("{seconds}.{micros:06}"),
        60..3_600 => format!("{}:{:02}.{micros:06}", seconds / 60, seconds % 60),
        _ => format!(
            "{}:{:02}:{:02}.{:03}",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
            micros / 1_000
        ),
    }
}

/// How long something has lasted, to the second: `<1 s`, `12 s`, `3 min`, `2 h 05 min`.
#[must_use]
pub fn lasted(time: Nanos) -> String {
    let seconds = time.0 / 1_000_000_000;
    match seconds {
        0 => "<1 s".to_owned(),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}
/// CPUs as a sentence names them: `CPU 1`, `CPUs 1-3,5`.
#[must_use]
pub fn cpus_in_words(cpus: impl IntoIterator<Item = Cpu>) -> String {
    in_words(&cpu_list(cpus))
}

/// CPUs as the kernel's list format has them: `1-3,5`.
#[must_use]
pub fn cpu_list(cpus: impl IntoIterator<Item = Cpu>) -> String {
    let mut cpus: Vec<u32> = cpus.into_iter().map(|cpu| cpu.0).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(cpu) => *last = cpu,
            _ => runs.push((cpu, cpu)),
        }
    }
    let words: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    words.join(",")
}

/// `1 entry`, `2 entries`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Columns that a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns`, with an ellipsis where its end is cut off.
/// Control characters, which a thread may have in its name, are shown as `?`.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let mut short: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                '?'
            } else {
                character
            }
        })
        .collect();
    if short.width() <= columns {
        return short;
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    while short.width() > room {
        short.pop();
    }
    short.push('…');
    short
}

/// The text in lines of at most `columns`, broken between words.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, columns)),
        }
    }
    lines
}

/// Who provoked a breach, in one line.
#[must_use]
pub fn origin(origin: &Origin) -> String {
    let word = origin.word();
    let Some(sender) = origin.sender() else {
        return word.to_owned();
    };
    let mut line = format!("{word}: {} by {}", who(sender), sender.via.word());
    if let Some(callback) = &sender.callback {
        line = format!("{line} {}", function(callback));
    }
    if let Some(callsite) = &sender.callsite {
        line = format!("{line} from {}", function(callsite));
    }
    if sender.inferred {
        line.push_str(" (inferred)");
    }
    line
}

/// Who a sender was, and where.
#[must_use]
pub fn who(sender: &Sender) -> String {
    let who = match &sender.task {
        Some(task) => {
            let comm = task.comm.as_deref().unwrap_or("name not known,");
            match task.pid {
                Some(pid) if pid.0 != task.tid.0 => format!("{comm} pid {pid} tid {}", task.tid),
                _ => format!("{comm} pid {}", task.tid),
            }
        }
        None => nobody(sender).to_owned(),
    };
    format!("{who}{}", on_cpu(sender))
}

/// Who it was, where it was no task.
#[must_use]
pub const fn nobody(sender: &Sender) -> &'static str {
    match sender.via {
        // Its owner has ended, or is the kernel itself.
        Via::PerfEvent => "no task",
        _ => "an interrupt",
    }
}

/// ` on CPU 3`, where that is known.
#[must_use]
pub fn on_cpu(sender: &Sender) -> String {
    let cpu = sender.cpu.map(|cpu| format!(" on CPU {cpu}"));
    cpu.unwrap_or_default()
}

/// Whose a thread is that ran in a task's stead; nothing where that tells nothing.
#[must_use]
pub fn kin(kin: &Kin) -> Option<String> {
    if kin.worker {
        return Some(format!("a worker of io_uring in pid {}", kin.pid));
    }
    let (pid, comm) = kin.parent.as_ref()?;
    Some(format!("a child of {comm} (pid {pid})"))
}

/// A function of the kernel by its name, or else its address.
#[must_use]
pub fn function(function: &Function) -> String {
    match (&function.name, function.address) {
        (Some(name), _) => name.to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_keep_three_digits_and_change_unit_in_time() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_960, "100 µs"),
            (999_499, "999 µs"),
            (999_600, "1.00 ms"),
            (31_500_000, "31.5 ms"),
            (999_600_000, "1.00 s"),
            (99_900_000_000, "99.9 s"),
            (725_000_000_000, "12m05s"),
            (7_380_000_000_000, "2h03m"),
            (400_000_000_000_000, "4d15h"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(Nanos(nanos)), text, "{nanos}");
        }
        assert_eq!(maybe_duration(None), "-", "unknown is not zero");
    }

    #[test]
    fn counts_and_rates_and_shares() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(short_count(99_999), "99,999");
        assert_eq!(short_count(100_000), "100k");
        assert_eq!(short_count(999_600), "1.00M");
        assert_eq!(short_count(u64::MAX), "18.4E");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.01), "<0.1");
        assert_eq!(rate(0.5), "0.5");
        assert_eq!(rate(9.96), "9.96", "no rounding up to a wider figure");
        assert_eq!(rate(12.34), "12.3");
        assert_eq!(rate(999.6), "1.00k");
        assert_eq!(rate(4_400_000.0), "4.40M");
        assert_eq!(share(0.0), "0%");
        assert_eq!(share(0.000_01), "<0.01%");
        assert_eq!(share(0.001_2), "0.12%");
        assert_eq!(share(1.7), "100%");
    }

    #[test]
    fn times_since_the_start() {
        assert_eq!(clock(Nanos(3_725_000_000_000)), "01:02:05");
        assert_eq!(moment(Nanos(12_345_678_901)), "12.345678");
        assert_eq!(moment(Nanos(72_345_678_901)), "1:12.345678");
        assert_eq!(moment(Nanos(3_725_345_678_901)), "1:02:05.345");
        assert_eq!(lasted(Nanos(999)), "<1 s");
        assert_eq!(lasted(Nanos(12_999_999_999)), "12 s");
        assert_eq!(lasted(Nanos(180_000_000_000)), "3 min");
        assert_eq!(lasted(Nanos(7_500_000_000_000)), "2 h 05 min");
    }

    #[test]
    fn lists_and_plurals() {
        assert_eq!(cpu_list([5, 1, 2, 3, 2].map(Cpu)), "1-3,5");
        assert_eq!(cpu_list([u32::MAX].map(Cpu)), "4294967295");
        assert_eq!(cpu_list([]), "");
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(counted(1_200, "entry", "entries"), "1,200 entries");
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit("clocksource_watchdog", 20), "clocksource_watchdog");
        assert_eq!(fit("clocksource_watchdog", 8), "clockso…");
        assert_eq!(fit("ab", 1), "…");
        assert_eq!(fit("ab", 0), "");
        assert_eq!(
            fit("a\u{1b}[31m", 9),
            "a?[31m",
            "no escape reaches the terminal"
        );
        assert_eq!(fit("日本語", 4), "日…", "two columns a character");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(
            wrap("no such tracepoint in this kernel", 14),
            ["no such", "tracepoint in", "this kernel"]
        );
        assert_eq!(wrap("  ", 9), [""; 0]);
        assert_eq!(wrap("tracepoint", 5), ["trac…"]);
    }

    proptest! {
        #[test]
        fn figures_never_outgrow_their_columns(nanos: u64, number: u64, per_second in 0.0..1e11_f64, part in 0.0..3.0_f64) {
            prop_assert!(width(&duration(Nanos(nanos))) <= 7);
            prop_assert!(width(&short_count(number)) <= 7);
            prop_assert!(width(&rate(per_second)) <= 5);
            prop_assert!(width(&share(part)) <= 6);
        }

        #[test]
        fn fitting_never_takes_more_than_it_was_given(text: String, columns in 0_usize..40) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
        }
    }
}
