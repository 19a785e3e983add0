//! The log as lines for people, on a terminal: one breach, one line.

use std::io;

use super::lines::{Lines, TextFormat};
use crate::{
    event::{
        ids::{MonoNanos, Nanos},
        model::{Breach, Event, Kill},
    },
    explain::{breach_in_words, name},
    printable::printable,
    tui::text::{cpus_in_words, maybe_duration, moment},
};

/// Writes events as lines for people.
pub type PeopleLines<W> = Lines<W, People>;

/// Events in the words of people.
#[derive(Debug, Default)]
pub struct People {
    /// When the trace began.
    began: MonoNanos,
}

impl People {
    /// When it was, since the beginning.
    fn when(&self, at: MonoNanos) -> String {
        moment(Nanos(at.0.saturating_sub(self.began.0)))
    }

    fn breach(&self, breach: &Breach) -> String {
        format!(
            "{:>10}  CPU {:<3} {:>8}  {}: {}",
            self.when(breach.at),
            breach.cpu,
            maybe_duration(breach.duration),
            name(&breach.task),
            breach_in_words(breach)
        )
    }

    fn kill(&self, kill: &Kill) -> String {
        format!(
            "{:>10}  CPU {:<3} {:>8}  {} gets {}",
            self.when(kill.at),
            kill.cpu,
            "",
            name(&kill.task),
            kill.signal
        )
    }
}

impl TextFormat for People {
    fn write(&mut self, out: &mut Vec<u8>, event: &Event) -> io::Result<()> {
        let line = match event {
            Event::Header(header) => {
                self.began = header.at;
                format!(
                    "watching {} (lines for people; -o FILE or -o - has all of it, as JSON)",
                    cpus_in_words(header.cpus.iter().map(|(cpu, _)| *cpu))
                )
            }
            Event::Breach(breach) => self.breach(breach),
            Event::Kill(kill) => self.kill(kill),
            Event::Lost { cpu, records, at } => {
                format!(
                    "{:>10}  CPU {cpu:<3} {records} records lost",
                    self.when(*at)
                )
            }
            Event::Watched(set) => format!(
                "{:>10}  watching {}",
                self.when(set.at),
                cpus_in_words(set.cpus.iter().map(|(cpu, _)| *cpu))
            ),
            Event::Back { .. } | Event::Moved { .. } | Event::Summary(_) => return Ok(()),
        };
        out.extend_from_slice(printable(&line).as_bytes());
        out.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        consume::Consumer as _,
        event::{breach::tests::breach, ids::Cpu},
    };

    #[test]
    fn a_breach_is_a_line_and_names_steer_nothing() {
        let mut hostile = breach();
        hostile.at = MonoNanos(2_000_000_500);
        hostile.task.comm = Some("a\u{1b}[2J\n\u{202e}b".into());
        let mut text = Vec::new();
        let mut lines = PeopleLines::new(&mut text);
        lines.format.began = MonoNanos(500);
        lines.event(&Event::Breach(Box::new(hostile)));
        let lost = Event::Lost {
            cpu: Cpu(1),
            records: 7,
            at: MonoNanos(3_000_000_500),
        };
        lines.event(&lost);
        drop(lines);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("  2.000000  CPU 0"), "{text}");
        assert!(text.contains("a\\u{1b}[2J\\n\\u{202e}b"), "{text}");
        assert!(
            text.ends_with("  3.000000  CPU 1   7 records lost\n"),
            "{text}"
        );
    }
}
