//! Consumers that write text: [`Lines`] gathers the lines of events and writes them in batches, and a
//! [`Format`] is the name by which `report --format` asks for such a consumer.

use std::io::{self, Write};

use super::consumer::{Consumer, Demand};
use crate::event::model::Event;

/// Bytes gathered before they are written: large enough to make the system call cheap, small enough to stay in cache.
const BATCH: usize = 64 * 1024;

/// A format that a consumer writes, as `report --format` has it.
#[derive(Debug)]
pub struct Format {
    /// The word that `--format` takes.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Makes a consumer that writes it to an output.
    pub start: fn(Box<dyn Write>) -> Box<dyn Consumer>,
}

/// How a consumer that writes text puts events into words.
pub trait TextFormat {
    /// Appends the lines of an event to `out`, each with its line end. An event may have no line.
    ///
    /// # Errors
    ///
    /// If the lines cannot be made: after that the consumer writes nothing more.
    fn write(&mut self, out: &mut Vec<u8>, event: &Event) -> io::Result<()>;
}

/// A consumer that writes each event as lines of a format.
///
/// Lines are gathered into batches, and each batch is written with one [`Write::write_all`]. A batch ends at
/// the end of a line. If a write fails, a [`LogFile`](crate::sink::LogFile) cuts a regular file back to whole
/// lines. What is still gathered is written when this is dropped; an error there is not reported.
///
/// After an error nothing more is written: lines behind a gap would not add up to the totals.
#[derive(Debug)]
pub struct Lines<W: Write, F> {
    /// Where the lines go.
    output: W,
    pub(super) format: F,
    /// Whole lines that are not written yet.
    gathered: Vec<u8>,
    has_failed: bool,
    /// Why it failed, until [`Consumer::take_error`] takes it.
    error: Option<io::Error>,
}

impl<W: Write, F: TextFormat + Default> Lines<W, F> {
    /// A consumer that has no lines yet.
    pub fn new(output: W) -> Self {
        Self {
            output,
            format: F::default(),
            gathered: Vec::with_capacity(BATCH + BATCH / 4),
            has_failed: false,
            error: None,
        }
    }
}

impl<W: Write, F> Lines<W, F> {
    /// Writes what is gathered, and flushes the output.
    fn write_out(&mut self) {
        self.write_gathered();
        if !self.has_failed
            && let Err(error) = self.output.flush()
        {
            self.fail(error);
        }
    }

    /// Keeps the error. From here on nothing more is written.
    fn fail(&mut self, error: io::Error) {
        self.has_failed = true;
        self.error = Some(error);
    }

    fn write_gathered(&mut self) {
        if !self.has_failed
            && !self.gathered.is_empty()
            && let Err(error) = self.output.write_all(&self.gathered)
        {
            self.fail(error);
        }
        self.gathered.clear();
    }
}

impl<W: Write, F: TextFormat> Consumer for Lines<W, F> {
    fn event(&mut self, event: &Event) {
        if self.has_failed {
            return;
        }
        if let Err(error) = self.format.write(&mut self.gathered, event) {
            self.fail(error);
        } else if matches!(event, Event::Header(_) | Event::Summary(_)) {
            // A log's header and its summary are written at once: whoever reads the log meanwhile waits for them.
            self.write_out();
        } else if self.gathered.len() >= BATCH {
            self.write_gathered();
        }
    }

    fn flush(&mut self) {
        self.write_out();
    }

    fn demand(&self) -> Demand {
        if self.has_failed {
            Demand::Failed
        } else {
            Demand::All
        }
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

impl<W: Write, F> Drop for Lines<W, F> {
    fn drop(&mut self) {
        self.write_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::ids::{Cpu, MonoNanos},
        wire::tests::any,
    };

    const LOST: Event = Event::Lost {
        cpu: Cpu(1),
        records: 7,
        at: MonoNanos(5),
    };

    /// Counts what it is given, and fails from a byte count on.
    #[derive(Default)]
    struct Failing {
        written: Vec<u8>,
        calls: usize,
        room: Option<usize>,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.room.is_some_and(|room| self.written.len() >= room) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A line for each event.
    #[derive(Debug, Default)]
    struct Line;

    impl TextFormat for Line {
        fn write(&mut self, out: &mut Vec<u8>, _: &Event) -> io::Result<()> {
            out.extend_from_slice(b"a line of some length\n");
            Ok(())
        }
    }

    fn lines<W: Write>(output: W) -> Lines<W, Line> {
        Lines::new(output)
    }

    #[test]
    fn lines_are_gathered_and_batches_end_at_a_line() {
        let mut lines = lines(Failing::default());
        for _ in 0..10_000 {
            lines.event(&LOST);
            let written = &lines.output.written;
            assert!(
                written.last().is_none_or(|&byte| byte == b'\n'),
                "a batch ends at a line"
            );
        }
        assert!(lines.output.calls > 0, "a full batch is written unasked");
        assert!(lines.output.calls < 10, "and only a full one");
        lines.flush();
        let text = String::from_utf8(lines.output.written.clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 10_000);
    }

    #[test]
    fn the_first_and_the_last_line_of_a_log_are_not_held_back() {
        let header = Event::Header(any::plain_header());
        let mut lines = lines(Failing::default());
        lines.event(&header);
        assert_eq!(lines.output.calls, 1);
        lines.event(&LOST);
        assert_eq!(lines.output.calls, 1);
        lines.event(&Event::Summary(any::plain_summary()));
        assert_eq!(lines.output.calls, 2);
    }

    #[test]
    fn dropped_lines_are_written() {
        let mut output = Failing::default();
        let mut lines = lines(&mut output);
        lines.event(&LOST);
        assert!(lines.output.written.is_empty());
        drop(lines);
        assert_eq!(output.written.last(), Some(&b'\n'));
    }

    #[test]
    fn nothing_follows_a_gap() {
        let mut lines = lines(Failing {
            room: Some(0),
            ..Failing::default()
        });
        lines.event(&LOST);
        assert_eq!(lines.demand(), Demand::All, "gathered only");
        lines.flush();
        assert_eq!(lines.demand(), Demand::Failed);
        let error = lines.take_error().expect("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        lines.output.room = None;
        lines.event(&LOST);
        lines.flush();
        assert!(lines.output.written.is_empty());
        assert_eq!(lines.demand(), Demand::Failed);
        assert!(lines.take_error().is_none(), "it is told once");
    }
}
