//! A log that a command was given, heard as a trace that runs.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use super::stderr::say;
use crate::{
    consume::{Consumer, Demand},
    error::Error,
    host::streams,
    wire::LogReader,
};

/// Has a consumer hear a log to its end, or as far as it takes any; `-` is stdin.
pub(super) fn replay(path: &Path, consumer: &mut dyn Consumer) -> Result<(), Error> {
    if path.as_os_str() == "-" {
        return read_file(streams::stdin(), "stdin", consumer);
    }
    read_file(File::open(path), &path.display().to_string(), consumer)
}

fn read_file(
    opened: io::Result<File>,
    name: &str,
    consumer: &mut dyn Consumer,
) -> Result<(), Error> {
    match opened {
        Ok(file) => read(BufReader::new(file), name, consumer),
        Err(source) => Err(Error::OpenLog {
            name: name.to_owned(),
            source,
        }),
    }
}

fn read(input: impl BufRead, name: &str, consumer: &mut dyn Consumer) -> Result<(), Error> {
    let mut log = LogReader::new(input);
    for event in &mut log {
        let event = event.map_err(|source| Error::ReadLog {
            name: name.to_owned(),
            source,
        })?;
        consumer.event(&event);
        if consumer.demand() >= Demand::Failed {
            return Ok(());
        }
    }
    consumer.flush();
    if !log.is_complete() {
        say("the log has no summary: it was cut short, or is still being written");
    }
    Ok(())
}
