//! One event after the other, from the first line of a log to its last whole one.

use std::io::{self, BufRead};

use serde::Deserialize;

use super::{
    SCHEMA_NAME,
    model::{Back, Breach, Header, Kill, Lost, Moved, Summary, Watched},
    to_event::Mismatch,
    value::Text,
};
use crate::event::model::Event;

/// What the first line says of the log itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The version of isol-trace that wrote it.
    pub version: String,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read on.
    #[error("line {line} cannot be read: {source}")]
    Read {
        /// The line, from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line is no record.
    #[error("line {line}, column {column}: {what}")]
    Record {
        /// The line, from 1.
        line: u64,
        /// The byte in the line, from 1; 0 where it is no single one.
        column: usize,
        /// What is wrong with it.
        what: String,
    },
    /// It does not begin as a log of isol-trace does.
    #[error(
        "this is no log of isol-trace: its first line is no header with the schema {SCHEMA_NAME}"
    )]
    NoHeader,
    /// A later version wrote it, in a form that this one cannot read.
    #[error(
        "the log has the schema '{schema}', and this version of isol-trace reads {SCHEMA_NAME}: use the version that wrote it, or a later one"
    )]
    Newer {
        /// Its schema.
        schema: String,
    },
}

/// Reads a log, event by event. After an error it has ended.
///
/// A last line without an end, as a killed recording leaves it, is left out;
/// [`LogReader::is_complete`] tells.
#[derive(Debug)]
pub struct LogReader<R> {
    input: R,
    /// The line under way, kept for its room.
    buffer: Vec<u8>,
    /// How many lines have been read.
    line: u64,
    preface: Option<Preface>,
    /// The last event was a summary.
    is_complete: bool,
    has_ended: bool,
}

/// The type of a record.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Tag<'a> {
    r#type: Text<'a>,
}

/// The format alone, which has to be known before anything else is read.
#[derive(Deserialize)]
struct Format {
    schema: Option<String>,
}

/// The longest line that is read: many times what the longest record takes.
const MAX_LINE: u64 = 16 << 20;

impl<R: BufRead> LogReader<R> {
    /// Reads from here.
    pub const fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            line: 0,
            preface: None,
            is_complete: false,
            has_ended: false,
        }
    }

    /// What the first line said of the log itself; `None` before it has been read.
    pub const fn preface(&self) -> Option<&Preface> {
        self.preface.as_ref()
    }

    /// The number of the line that was read last, from 1.
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Whether the last event was the summary, with which a whole log ends.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The next line that holds a record of a type that is known.
    fn read(&mut self) -> Result<Option<Event>, LogError> {
        loop {
            self.buffer.clear();
            let mut line = io::Read::take(&mut self.input, MAX_LINE);
            let length = line.read_until(b'\n', &mut self.buffer);
            let length = length.map_err(|source| LogError::Read {
                line: self.line + 1,
                source,
            })?;
            if length == 0 {
                return match self.preface {
                    Some(_) => Ok(None),
                    None => Err(LogError::NoHeader),
                };
            }
            self.line += 1;
            let is_whole = self.buffer.last() == Some(&b'\n');
            if !is_whole && length as u64 == MAX_LINE {
                return Err(match self.preface {
                    Some(_) => LogError::Record {
                        line: self.line,
                        column: length,
                        what: "it is longer than any record".to_owned(),
                    },
                    None => LogError::NoHeader,
                });
            }
            let text = std::mem::take(&mut self.buffer);
            let event = self.record(text.trim_ascii());
            self.buffer = text;
            match event {
                Ok(Some(event)) => {
                    self.is_complete = matches!(event, Event::Summary(_));
                    return Ok(Some(event));
                }
                Ok(None) => {}
                // Cut short: the log ends at the line before.
                Err(LogError::Record { .. }) if !is_whole && self.preface.is_some() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The event of a line; `None` for an empty one and for types that this version does not know.
    fn record(&mut self, text: &[u8]) -> Result<Option<Event>, LogError> {
        if self.preface.is_none() {
            return self.header(text).map(Some);
        }
        if text.is_empty() {
            return Ok(None);
        }
        let tag: Tag<'_> = self.parse(text)?;
        let mismatch = |what: Mismatch| self.mismatch(&what);
        Ok(Some(match tag.r#type.as_str() {
            "header" => self.header(text)?,
            "breach" => {
                let breach = self.parse::<Breach<'_>>(text)?.try_into();
                Event::Breach(Box::new(breach.map_err(mismatch)?))
            }
            "back" => self.parse::<Back>(text)?.into(),
            "lost" => self.parse::<Lost>(text)?.into(),
            "watched" => self.parse::<Watched<'_>>(text)?.into(),
            "moved" => self.parse::<Moved<'_>>(text)?.into(),
            "kill" => {
                let kill = self.parse::<Kill<'_>>(text)?.try_into();
                Event::Kill(Box::new(kill.map_err(mismatch)?))
            }
            "summary" => Event::Summary(self.parse::<Summary<'_>>(text)?.into()),
            _ => return Ok(None),
        }))
    }

    /// What is wrong with a record whose members are what they should be.
    fn mismatch(&self, what: &Mismatch) -> LogError {
        LogError::Record {
            line: self.line,
            column: 0,
            what: what.to_string(),
        }
    }

    fn header(&mut self, text: &[u8]) -> Result<Event, LogError> {
        let is_header =
            serde_json::from_slice(text).is_ok_and(|tag: Tag<'_>| tag.r#type.as_str() == "header");
        let format: Format = serde_json::from_slice(text).unwrap_or(Format { schema: None });
        match format.schema {
            Some(schema) if is_header && schema == SCHEMA_NAME => {}
            Some(schema) if is_header && is_later(&schema) => {
                return Err(LogError::Newer { schema });
            }
            _ => return Err(LogError::NoHeader),
        }
        let record: Header<'_> = self.parse(text)?;
        let version = record.version.as_str().to_owned();
        let header = record.try_into().map_err(|what| self.mismatch(&what))?;
        self.preface = Some(Preface { version });
        Ok(Event::Header(header))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, text: &'a [u8]) -> Result<T, LogError> {
        serde_json::from_slice(text).map_err(|error| {
            let what = error.to_string();
            // The parser counts lines as well, and has seen one.
            let end = what.rfind(" at line ").unwrap_or(what.len());
            LogError::Record {
                line: self.line,
                column: error.column(),
                what: what.get(..end).unwrap_or_default().to_owned(),
            }
        })
    }
}

/// Whether a schema is a later one of the log's.
fn is_later(schema: &str) -> bool {
    let number = |schema: &str| schema.strip_prefix("isol-trace/")?.parse::<u32>().ok();
    number(schema) > number(SCHEMA_NAME)
}

impl<R: BufRead> Iterator for LogReader<R> {
    type Item = Result<Event, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let event = self.read();
        self.has_ended = !matches!(event, Ok(Some(_)));
        event.transpose()
    }
}
