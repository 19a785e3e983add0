//! The symbolizer's end of the socket.

use std::{fs::File, io, os::fd::BorrowedFd};

use crate::symbolize::shared::{
    channel,
    maps::Mapping,
    protocol::{FileId, Given, Number, Order, Report, Want, decode, encode},
};

/// The socket to the tracer.
pub(super) struct Line<'a> {
    socket: BorrowedFd<'a>,
}

/// The tracer, while it waits for an answer.
pub(super) struct Asker<'a, 'b> {
    line: &'a mut Line<'b>,
    number: Number,
}

impl<'a> Line<'a> {
    pub(super) const fn new(socket: BorrowedFd<'a>) -> Self {
        Self { socket }
    }

    /// Waits for what the tracer says; `None` when it has closed the socket.
    pub(super) fn take(&mut self) -> io::Result<Option<(Order, Option<File>)>> {
        let Some((packet, descriptor)) = channel::receive(self.socket)? else {
            return Ok(None);
        };
        let order = decode(&packet).map_err(io::Error::other)?;
        Ok(Some((order, descriptor.map(File::from))))
    }

    pub(super) fn say(&mut self, report: &Report) -> io::Result<()> {
        let packet = encode(report).ok_or(io::ErrorKind::InvalidData)?;
        channel::send(self.socket, &packet, None)
    }

    pub(super) const fn about(&mut self, number: Number) -> Asker<'_, 'a> {
        Asker { line: self, number }
    }
}

impl Asker<'_, '_> {
    /// Asks back, and waits for what the tracer gives.
    pub(super) fn want(&mut self, want: Want) -> io::Result<(Given, Option<File>)> {
        self.line.say(&Report::Want(self.number, want))?;
        match self.line.take()? {
            Some((Order::Give(number, given), file)) if number == self.number => Ok((given, file)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Says that it reads a file from here on, of a question that may be about several.
    pub(super) fn reading(&mut self, file: FileId) -> io::Result<()> {
        self.line.say(&Report::Reading(file))
    }

    /// Says a part of the answer.
    pub(super) fn part(&mut self, maps: Vec<Mapping>) -> io::Result<()> {
        self.line.say(&Report::Part(self.number, maps))
    }
}
