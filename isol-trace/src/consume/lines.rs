//! Consumers that write text: their lines on the way out, and how they are asked for.

use std::io::{self, Write};

use super::consumer::{Appetite, Consumer};
use crate::event::model::Event;

/// Bytes gathered before they are written: large enough to make the system call cheap, small enough to stay in cache.
const BATCH: usize = 64 * 1024;

/// A format that a consumer writes, as `report --format` has it.
#[derive(Debug)]
pub struct Format {
    /// What it is asked for by.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// A consumer that writes it.
    pub start: fn(Box<dyn Write>) -> Box<dyn Consumer>,
}

/// The lines of a consumer that writes.
///
/// They are gathered and handed to the output in whole batches, each with one [`Write::write_all`];
/// [`LogFile`](crate::sink::LogFile) makes that all or nothing to the line. What is gathered is written at the latest when
/// this is dropped, where an error has nobody to tell it to.
///
/// After an error nothing more is written: lines behind a gap would not add up to the totals.
#[derive(Debug)]
pub struct Lines<W: Write> {
    /// Where they go.
    output: W,
    /// Whole lines that are not written yet.
    gathered: Vec<u8>,
    has_failed: bool,
    /// Why, until somebody has asked.
    error: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    /// None so far.
    pub fn new(output: W) -> Self {
        Self {
            output,
            gathered: Vec::with_capacity(BATCH + BATCH / 4),
            has_failed: false,
            error: None,
        }
    }

    /// Where they go; what is gathered is not there yet.
    pub const fn output(&self) -> &W {
        &self.output
    }

    /// Where to write the next lines, each with its end.
    pub const fn text(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// The lines of this event are whole. Those of the first and the last of a log go out at once: whoever reads along
    /// waits for them.
    pub fn end(&mut self, event: &Event) {
        if matches!(event, Event::Header(_) | Event::Summary(_)) {
            self.flush();
        } else if self.gathered.len() >= BATCH {
            self.write_gathered();
        }
    }

    /// Hands everything on to where it goes.
    pub fn flush(&mut self) {
        self.write_gathered();
        if !self.has_failed
            && let Err(error) = self.output.flush()
        {
            self.fail(error);
        }
    }

    /// Whether the output takes no more.
    pub const fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Nothing more is written.
    pub fn fail(&mut self, error: io::Error) {
        self.has_failed = true;
        self.error = Some(error);
    }

    /// [`Consumer::appetite`] of whoever writes these.
    pub const fn appetite(&self) -> Appetite {
        if self.has_failed {
            Appetite::Failed
        } else {
            Appetite::All
        }
    }

    /// [`Consumer::take_error`] of whoever writes these.
    pub const fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
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

impl<W: Write> Drop for Lines<W> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::ids::{Cpu, MonoNanos},
        log::tests::any,
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

    fn put<W: Write>(lines: &mut Lines<W>, event: &Event) {
        lines.text().extend_from_slice(b"a line of some length\n");
        lines.end(event);
    }

    #[test]
    fn lines_are_gathered_and_batches_end_at_a_line() {
        let mut lines = Lines::new(Failing::default());
        for _ in 0..10_000 {
            put(&mut lines, &LOST);
            let written = &lines.output().written;
            assert!(
                written.last().is_none_or(|&byte| byte == b'\n'),
                "a batch ends at a line"
            );
        }
        assert!(lines.output().calls > 0, "a full batch is written unasked");
        assert!(lines.output().calls < 10, "and only a full one");
        lines.flush();
        let text = String::from_utf8(lines.output().written.clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 10_000);
    }

    #[test]
    fn the_first_and_the_last_line_of_a_log_are_not_held_back() {
        let header = Event::Header(any::plain_header());
        let mut lines = Lines::new(Failing::default());
        put(&mut lines, &header);
        assert_eq!(lines.output().calls, 1);
        put(&mut lines, &LOST);
        assert_eq!(lines.output().calls, 1);
        put(&mut lines, &Event::Summary(any::plain_summary()));
        assert_eq!(lines.output().calls, 2);
    }

    #[test]
    fn dropped_lines_are_written() {
        let mut output = Failing::default();
        let mut lines = Lines::new(&mut output);
        put(&mut lines, &LOST);
        assert!(lines.output().written.is_empty());
        drop(lines);
        assert_eq!(output.written.last(), Some(&b'\n'));
    }

    #[test]
    fn nothing_follows_a_gap() {
        let mut lines = Lines::new(Failing {
            room: Some(0),
            ..Failing::default()
        });
        put(&mut lines, &LOST);
        assert_eq!(lines.appetite(), Appetite::All, "gathered only");
        lines.flush();
        assert_eq!(lines.appetite(), Appetite::Failed);
        let error = lines.take_error().expect("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        lines.output.room = None;
        put(&mut lines, &LOST);
        lines.flush();
        assert!(lines.output().written.is_empty());
        assert_eq!(lines.appetite(), Appetite::Failed);
        assert!(lines.take_error().is_none(), "it is told once");
    }
}
