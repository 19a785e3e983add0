//! The JSON log: one event, one line, whole lines only.

use std::io::{self, Write};

use super::{
    record,
    remedies::{self, Remedies},
    summary,
    time::{Anchor, Calendar},
};
use crate::event::model::{Event, Sink};

/// Bytes gathered before they are written: large enough to make the system call cheap, small enough to stay in cache.
const BATCH: usize = 64 * 1024;

/// Writes events as JSON Lines.
///
/// Lines are gathered and handed to the output in whole batches, each with one
/// [`Write::write_all`]; [`LogFile`](super::LogFile) makes that all or nothing to
/// the line. What is gathered is written by [`Sink::flush`], at the latest when the
/// sink is dropped, where an error has nobody to tell it to.
///
/// After an error the log has ended: a line that follows a gap would make a log
/// whose records do not add up to its totals, so every later call fails as well.
#[derive(Debug)]
pub struct JsonLines<W: Write> {
    /// Where lines go.
    output: W,
    /// Whole lines that are not written yet.
    batch: Vec<u8>,
    /// The calendar of the log; fixed when the header is written.
    calendar: Option<Calendar>,
    /// Remedies that the log has spelled out.
    remedies: Remedies,
    /// The kind of error that ended the log.
    ended: Option<io::ErrorKind>,
}

impl<W: Write> JsonLines<W> {
    /// A log whose times are anchored when its first event comes.
    pub fn new(output: W) -> Self {
        Self {
            output,
            batch: Vec::with_capacity(BATCH + BATCH / 4),
            calendar: None,
            remedies: Remedies::default(),
            ended: None,
        }
    }

    /// A log whose times are anchored at `anchor`.
    pub fn with_anchor(output: W, anchor: Anchor) -> Self {
        let mut log = Self::new(output);
        log.calendar = Some(Calendar::new(anchor));
        log
    }

    /// Where lines go; what is gathered and not flushed is not there yet.
    pub fn output(&self) -> &W {
        &self.output
    }

    /// Fails if the log has ended.
    fn going_on(&self) -> io::Result<()> {
        self.ended.map_or(Ok(()), |kind| {
            Err(io::Error::new(
                kind,
                "the log ended at an earlier write error",
            ))
        })
    }

    /// Writes what is gathered.
    fn write_batch(&mut self) -> io::Result<()> {
        self.going_on()?;
        if self.batch.is_empty() {
            return Ok(());
        }
        let result = self.output.write_all(&self.batch);
        self.batch.clear();
        result.inspect_err(|error| self.ended = Some(error.kind()))
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.going_on()?;
        let calendar = self
            .calendar
            .get_or_insert_with(|| Calendar::new(Anchor::now()));
        self.remedies.hear(event);
        let out = &mut self.batch;
        match event {
            Event::Header(header) => record::header(out, calendar, header),
            Event::Breach(breach) => {
                record::breach(out, calendar, breach);
                if let Some(remedy) = self.remedies.new_of(breach) {
                    out.push(b'\n');
                    remedies::record(out, &remedy);
                }
            }
            Event::Back {
                breach,
                away,
                at,
                tid,
            } => record::back(out, *breach, *away, *at, *tid),
            Event::Lost { cpu, records, at } => record::lost(out, *cpu, *records, *at),
            Event::Watched(set) => record::watched_set(out, calendar, set),
            Event::Moved { task, from, to, at } => {
                record::moved(out, calendar, task, *from, *to, *at);
            }
            Event::Kill(kill) => record::kill(out, calendar, kill),
            Event::Summary(summary) => summary::summary(out, summary),
        }
        out.push(b'\n');
        if out.len() >= BATCH {
            self.write_batch()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_batch()?;
        self.output
            .flush()
            .inspect_err(|error| self.ended = Some(error.kind()))
    }
}

impl<W: Write> Drop for JsonLines<W> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ids::{Cpu, MonoNanos};

    fn lost(records: u64) -> Event {
        Event::Lost {
            cpu: Cpu(1),
            records,
            at: MonoNanos(5),
        }
    }

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

    #[test]
    fn lines_are_gathered_and_batches_end_at_a_line() {
        let mut log = JsonLines::new(Failing::default());
        for records in 0..5_000 {
            log.event(&lost(records)).expect("no error");
            assert!(
                log.output()
                    .written
                    .last()
                    .is_none_or(|&byte| byte == b'\n'),
                "a batch ends at a line"
            );
        }
        assert!(log.output().calls > 0, "a full batch is written unasked");
        assert!(log.output().calls < 10, "and only a full one");
        log.flush().expect("no error");
        let text = String::from_utf8(log.output().written.clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 5_000);
    }

    #[test]
    fn a_dropped_log_is_written() {
        let mut output = Failing::default();
        let mut log = JsonLines::new(&mut output);
        log.event(&lost(1)).expect("gathered");
        assert!(log.output().written.is_empty());
        drop(log);
        assert_eq!(output.written.last(), Some(&b'\n'));
    }

    #[test]
    fn nothing_follows_a_gap() {
        let mut log = JsonLines::new(Failing {
            room: Some(0),
            ..Failing::default()
        });
        log.event(&lost(1)).expect("gathered only");
        let error = log.flush().expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        log.output.room = None;
        let error = log.event(&lost(2)).expect_err("the log has ended");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(log.flush().is_err());
        assert!(log.output().written.is_empty());
    }
}
