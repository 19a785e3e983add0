//! The log that is written while a trace runs.

use std::io;

use super::say;
use crate::{
    error::Error,
    event::model::{Event, Sink},
    plan::output::Output,
    sink::{JsonLines, LogFile},
};

/// The log, and what has become of writing it.
pub(super) struct Log<'a> {
    listener: &'a mut dyn FnMut(&Event),
    /// `None` where nothing is written.
    sink: Option<Box<dyn Sink>>,
    stdout: bool,
    name: String,
    failed: Option<io::Error>,
}

impl<'a> Log<'a> {
    /// Begins it with its header; `listener` hears every event, also those that are not written.
    pub(super) fn begin(
        output: Output,
        listener: &'a mut dyn FnMut(&Event),
        header: &Event,
    ) -> Result<Self, Error> {
        let (file, stdout, name) = match output {
            Output::Nowhere => (None, false, String::new()),
            Output::Stdout => {
                let stdout = LogFile::stdout().map_err(Error::Stdout)?;
                (Some(stdout), true, "stdout".to_owned())
            }
            Output::File(file) => {
                let name = file.path().display().to_string();
                let file = LogFile::from_file(file.begin()?).map_err(Error::Stdout)?;
                (Some(file), false, name)
            }
        };
        let mut log = Self {
            listener,
            sink: file.map(|file| Box::new(JsonLines::new(file)) as Box<dyn Sink>),
            stdout,
            name,
            failed: None,
        };
        log.take(header);
        log.flush();
        Ok(log)
    }

    /// Writes an event. A log that takes no more stays whole up to its last line, and the
    /// trace goes on without it: the verdict comes at the end.
    pub(super) fn take(&mut self, event: &Event) {
        (self.listener)(event);
        if self.failed.is_none()
            && let Some(sink) = &mut self.sink
            && let Err(error) = sink.event(event)
        {
            self.fail(error);
        }
    }

    /// Hands everything on to where it goes.
    pub(super) fn flush(&mut self) {
        if self.failed.is_none()
            && let Some(sink) = &mut self.sink
            && let Err(error) = sink.flush()
        {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: io::Error) {
        if !(self.stdout && error.kind() == io::ErrorKind::BrokenPipe) {
            say(&format!(
                "the log ends here: cannot write to {}: {error}; counting goes on",
                self.name
            ));
        }
        self.failed = Some(error);
    }

    /// Whether nobody reads the pipe any more that it is written to.
    pub(super) fn reader_is_gone(&self) -> bool {
        self.failed
            .as_ref()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether it is whole.
    pub(super) fn verdict(self) -> Result<(), Error> {
        match self.failed {
            None => Ok(()),
            Some(source) if self.stdout => Err(Error::Stdout(source)),
            Some(source) => Err(Error::Log {
                name: self.name,
                source,
            }),
        }
    }
}
