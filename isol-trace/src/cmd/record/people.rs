//! The log as lines for people, on a terminal: one breach, one line.

use std::io::{self, Write};

use crate::{
    event::{
        ids::{MonoNanos, Nanos},
        model::{Breach, Event, Kill, Sink},
    },
    explain::{breach_in_words, name},
    printable::Printable,
    tui::text::{cpus_in_words, maybe_duration, moment},
};

/// Writes events as lines for people.
#[derive(Debug)]
pub(super) struct PeopleLines<W: Write> {
    output: W,
    began: MonoNanos,
    /// Lines that are not handed on yet.
    batch: String,
}

/// Bytes gathered before they are handed on unasked.
const BATCH: usize = 16 * 1024;

impl<W: Write> PeopleLines<W> {
    pub(super) const fn new(output: W) -> Self {
        Self {
            output,
            began: MonoNanos(0),
            batch: String::new(),
        }
    }

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

impl<W: Write> Sink for PeopleLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
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
        self.batch.push_str(&Printable::of(&line).to_string());
        self.batch.push('\n');
        if self.batch.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.output.write_all(self.batch.as_bytes());
        self.batch.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ids::Cpu, model::tests::breach};

    #[test]
    fn a_breach_is_a_line_and_names_steer_nothing() {
        let mut hostile = breach();
        hostile.at = MonoNanos(2_000_000_500);
        hostile.task.comm = Some("a\u{1b}[2J\n\u{202e}b".into());
        let mut lines = PeopleLines::new(Vec::new());
        lines.began = MonoNanos(500);
        lines.event(&Event::Breach(Box::new(hostile))).unwrap();
        let lost = Event::Lost {
            cpu: Cpu(1),
            records: 7,
            at: MonoNanos(3_000_000_500),
        };
        lines.event(&lost).unwrap();
        lines.flush().unwrap();
        let text = String::from_utf8(lines.output).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("  2.000000  CPU 0"), "{text}");
        assert!(text.contains("a\\u{1b}[2J\\n\\u{202e}b"), "{text}");
        assert!(
            text.ends_with("  3.000000  CPU 1   7 records lost\n"),
            "{text}"
        );
    }
}
