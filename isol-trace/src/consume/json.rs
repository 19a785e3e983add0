//! The log: one event, one line of JSON.

mod remedies;

use std::io::{self, Write};

use self::remedies::Remedies;
use super::lines::{Lines, TextFormat};
use crate::{
    clock::{Anchor, calendar::Calendar},
    event::model::Event,
    wire::{
        model::{Record, Remedy},
        writer,
    },
};

/// Writes events as JSON Lines.
pub type JsonLines<W> = Lines<W, Json>;

/// Events as JSON. The record of a remedy follows the first breach that it would end.
#[derive(Debug, Default)]
pub struct Json {
    /// The calendar of the log, by its header.
    calendar: Option<Calendar>,
    /// Remedies that the log has spelled out.
    remedies: Remedies,
}

impl<W: Write> JsonLines<W> {
    /// A log without a header, whose times are anchored at `anchor`.
    pub fn with_anchor(output: W, anchor: Anchor) -> Self {
        let mut log = Self::new(output);
        log.format.calendar = Some(Calendar::new(anchor));
        log
    }
}

impl TextFormat for Json {
    fn write(&mut self, out: &mut Vec<u8>, event: &Event) -> io::Result<()> {
        if let Event::Header(header) = event {
            self.calendar = Some(Calendar::new(header.anchor));
        }
        let calendar = self
            .calendar
            .get_or_insert_with(|| Calendar::new(Anchor::now()));
        self.remedies.hear(event);
        writer::write(out, &Record::of(event, calendar))?;
        out.push(b'\n');
        if let Event::Breach(breach) = event
            && let Some(remedy) = self.remedies.new_of(breach)
        {
            writer::write(out, &Remedy::from(&remedy))?;
            out.push(b'\n');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        consume::{Consumer as _, Demand},
        wire::tests::any,
    };

    #[test]
    fn the_times_of_a_log_are_those_of_its_header() {
        let mut text = Vec::new();
        let mut log = JsonLines::new(&mut text);
        log.event(&Event::Header(any::plain_header()));
        drop(log);
        let text = String::from_utf8(text).unwrap();
        let time = "\"time\":\"2026-01-31T12:00:00.000000000Z\",\"mono_ns\":5000000000";
        assert!(text.contains(time), "{text}");
    }

    #[test]
    fn an_output_that_takes_no_more_ends_the_log() {
        let mut room = [0; 16];
        let mut log = JsonLines::new(room.as_mut_slice());
        log.event(&Event::Header(any::plain_header()));
        assert_eq!(log.demand(), Demand::Failed);
        let error = log.take_error().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
