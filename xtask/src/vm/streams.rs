//! A running emulator and what comes out of it: each stream a socket, all of them one sequence of
//! events.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Child,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use isol_trace_guest::boot::GOODBYE;

use super::qemu::{self, Boot, Stream};
use crate::{exec::die_with_us, setup::Qemu};

/// How long the emulator may take to connect its streams.
const CONNECTION: Duration = Duration::from_secs(20);

/// Events that may wait: a command that writes faster than it is read is slowed down.
const QUEUE: usize = 1024;

/// Something came out of the guest.
#[derive(Debug)]
pub(crate) enum Event {
    /// A line of the console or of the results.
    Line(Stream, String),
    /// Output of the command.
    Bytes(Stream, Vec<u8>),
}

/// The emulator with its streams; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Streams {
    emulator: Child,
    /// What came, until every stream has ended.
    pub(crate) events: Receiver<Event>,
    results: UnixStream,
    monitor: UnixStream,
}

impl Streams {
    /// Starts the emulator, with sockets in the folder `scratch`.
    pub(crate) fn start(qemu: &Qemu, boot: &Boot, scratch: &Path) -> Result<Self> {
        let mut listeners = Vec::new();
        for stream in Stream::ALL {
            let path = stream.socket(scratch);
            let listener = UnixListener::bind(&path)
                .with_context(|| format!("cannot listen at {}", path.display()))?;
            listener.set_nonblocking(true)?;
            listeners.push((stream, listener));
        }
        let mut command = qemu::command(qemu, boot, scratch);
        die_with_us(&mut command);
        let mut emulator = command.spawn().context("cannot start the emulator")?;
        let connected = connect(&mut emulator, &listeners);
        let sockets = match connected {
            Ok(sockets) => sockets,
            Err(error) => {
                // It is of no use; it may be gone already.
                let _ = emulator.kill();
                let _ = emulator.wait();
                return Err(error);
            }
        };
        let (sender, events) = mpsc::sync_channel(QUEUE);
        let (mut results, mut monitor) = (None, None);
        for (stream, socket) in sockets {
            match stream {
                Stream::Results => results = Some(socket.try_clone()?),
                Stream::Monitor => monitor = Some(socket.try_clone()?),
                Stream::Console | Stream::Stdout | Stream::Stderr => {}
            }
            let sender = sender.clone();
            thread::spawn(move || read(stream, socket, &sender));
        }
        Ok(Self {
            emulator,
            events,
            results: results.context("the results are not among the streams")?,
            monitor: monitor.context("the monitor is not among the streams")?,
        })
    }

    /// Tells the guest that everything has come: it may power off.
    pub(crate) fn say_goodbye(&mut self) {
        // A guest that is gone needs none.
        let _ = self.results.write_all(GOODBYE);
    }

    /// Gives the emulator a command of its monitor.
    pub(crate) fn tell_emulator(&mut self, command: &str) {
        // An emulator that is gone shows in its streams.
        let _ = writeln!(self.monitor, "{command}");
    }

    /// How the emulator ended, which it does right after its streams.
    pub(crate) fn how_it_ended(&mut self) -> String {
        let status = match self.emulator.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        format!("{status} {}", said(&mut self.emulator))
            .trim_end()
            .to_owned()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

/// Waits until the emulator has connected every stream.
fn connect(
    emulator: &mut Child,
    listeners: &[(Stream, UnixListener)],
) -> Result<Vec<(Stream, UnixStream)>> {
    let give_up = Instant::now() + CONNECTION;
    let mut sockets = Vec::new();
    for (stream, listener) in listeners {
        loop {
            match listener.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(false)?;
                    sockets.push((*stream, socket));
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = emulator.try_wait()? {
                bail!("the emulator does not start ({status}): {}", said(emulator));
            }
            if Instant::now() > give_up {
                bail!("the emulator starts, but does nothing");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(sockets)
}

/// What an ended emulator has said.
fn said(emulator: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut emulator.stderr {
        // What cannot be read is left out.
        let _ = stderr.read_to_string(&mut text);
    }
    text.trim().to_owned()
}

/// Reads one stream to its end.
fn read(stream: Stream, socket: UnixStream, sender: &SyncSender<Event>) {
    match stream {
        Stream::Console | Stream::Results => read_lines(stream, socket, sender),
        Stream::Stdout | Stream::Stderr => read_bytes(stream, socket, sender),
        Stream::Monitor => {
            let mut socket = socket;
            // Read, so that the emulator does not wait, and of no interest.
            let _ = io::copy(&mut socket, &mut io::sink());
        }
    }
}

fn read_lines(stream: Stream, socket: UnixStream, sender: &SyncSender<Event>) {
    let mut reader = BufReader::new(socket);
    let mut line = Vec::new();
    // An error here is the emulator's end, as an end of file is.
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if sender.send(Event::Line(stream, text)).is_err() {
            return;
        }
        line.clear();
    }
}

fn read_bytes(stream: Stream, mut socket: UnixStream, sender: &SyncSender<Event>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        if sender
            .send(Event::Bytes(stream, buffer[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}
