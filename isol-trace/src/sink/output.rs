//! Where a log is written: a file that never ends inside a line.
//!
//! A disk that fills cuts a write short in the middle of a line. [`LogFile`] then
//! takes the torn line back, so that the log is whole up to its last line and the
//! next reader needs no special case.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::Path,
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::host::streams;

/// What is handed to a pipe, a terminal or a device at once. A pipe that polls as writable has room for a page
/// (`fs/pipe.c:pipe_poll`, v6.12), so that a write of this size does not wait where nobody else writes.
const PIECE: usize = 4096;

/// A log's file, pipe or terminal.
///
/// [`Write::write_all`] takes whole lines. On an error a regular file is cut back
/// to the end of its last whole line; a pipe or a terminal keeps what it got.
/// An output that is set non-blocking (a shell may share it so) is waited for.
#[derive(Debug)]
pub struct LogFile {
    /// The open file.
    file: File,
    /// It can be cut back.
    regular: bool,
}

impl LogFile {
    /// Creates the file, or empties it where it exists.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Self::from_file(file)
    }

    /// Standard output, past the standard library's line buffer.
    pub fn stdout() -> io::Result<Self> {
        Self::from_file(streams::stdout()?)
    }

    /// An open file.
    pub fn from_file(file: File) -> io::Result<Self> {
        let regular = file.metadata()?.is_file();
        Ok(Self { file, regular })
    }

    /// Whether it is a file of a file system, rather than a pipe, a terminal or a device.
    #[must_use]
    pub const fn is_regular(&self) -> bool {
        self.regular
    }

    /// Another descriptor of the same open file.
    pub fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Writes whole lines; `taken` hears of each piece that went out.
    pub fn write_lines(&mut self, lines: &[u8], taken: impl FnMut(&[u8])) -> io::Result<()> {
        let result = if self.regular {
            write_whole(&mut self.file, lines, lines.len(), wait_for_room, taken)
        } else {
            write_whole(
                &mut Polled(&self.file),
                lines,
                PIECE,
                wait_for_polled,
                taken,
            )
        };
        result.map_err(|(error, written)| {
            // Whether or not that works, the first error is the one to tell.
            let _ = self.take_back(lines, written);
            error
        })
    }

    /// Has a regular file written to its disk.
    pub fn sync(&self) -> io::Result<()> {
        if !self.regular {
            return Ok(());
        }
        match self.file.sync_all() {
            // A file system that has nothing to be written to.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            result => result,
        }
    }

    /// Takes a torn line back after `lines[..written]` went out and the rest failed.
    ///
    /// Only where the file still ends where this write did: with another writer
    /// behind it, cutting would destroy that one's data.
    fn take_back(&mut self, lines: &[u8], written: usize) -> io::Result<()> {
        let whole = lines[..written]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let torn = (written - whole) as u64;
        if torn == 0 || !self.regular {
            return Ok(());
        }
        let end = self.file.stream_position()?;
        if self.file.metadata()?.len() == end {
            self.file.set_len(end.saturating_sub(torn))?;
            self.file.seek_relative(-torn.cast_signed())?;
        }
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_lines(lines, |_| ())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// An output that is asked whether it has room before anything is written to it.
struct Polled<'a>(&'a File);

impl Write for Polled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait_for_room(self.0)?;
        (&mut &*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wait_for_polled(output: &Polled<'_>) -> io::Result<()> {
    wait_for_room(output.0)
}

/// Waits until an output takes bytes again.
fn wait_for_room(file: &File) -> io::Result<()> {
    poll(&mut [PollFd::new(file, PollFlags::OUT)], None)
        .map(|_| ())
        .or_else(|error| match error {
            rustix::io::Errno::INTR => Ok(()),
            other => Err(other.into()),
        })
}

/// Writes everything, at most `piece` bytes at once; an error comes with the number of bytes that went out
/// before it.
fn write_whole<W: Write>(
    output: &mut W,
    bytes: &[u8],
    piece: usize,
    wait: impl Fn(&W) -> io::Result<()>,
    mut taken: impl FnMut(&[u8]),
) -> Result<(), (io::Error, usize)> {
    let mut written = 0;
    while written < bytes.len() {
        let end = bytes.len().min(written.saturating_add(piece));
        match output.write(&bytes[written..end]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
            Ok(more) => {
                taken(&bytes[written..written + more]);
                written += more;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(output).map_err(|error| (error, written))?;
            }
            Err(error) => return Err((error, written)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs, io::Read};

    use super::*;

    /// Takes a few bytes a call, interrupts and blocks in between, and is full at a point.
    struct Stubborn {
        taken: Vec<u8>,
        full_at: usize,
        calls: usize,
    }

    impl Write for Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            match self.calls % 3 {
                0 => return Err(io::ErrorKind::Interrupted.into()),
                1 => return Err(io::ErrorKind::WouldBlock.into()),
                _ => {}
            }
            let room = self.full_at - self.taken.len();
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = room.min(7).min(bytes.len());
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_writes_interruptions_and_blocking_are_gone_through() {
        let lines = b"{\"a\":1}\n{\"b\":22222222222222}\n";
        let waits = Cell::new(0);
        let mut output = Stubborn {
            taken: Vec::new(),
            full_at: usize::MAX,
            calls: 0,
        };
        let wait = |_: &Stubborn| {
            waits.set(waits.get() + 1);
            Ok(())
        };
        let mut told = Vec::new();
        write_whole(&mut output, lines, 9, wait, |piece| {
            told.extend_from_slice(piece);
        })
        .expect("there is room");
        assert_eq!(output.taken, lines);
        assert_eq!(told, lines, "and each piece is told");
        assert!(waits.get() > 0, "a blocked output is waited for");
    }

    #[test]
    fn an_error_says_how_much_went_out() {
        let mut output = Stubborn {
            taken: Vec::new(),
            full_at: 10,
            calls: 0,
        };
        let (error, written) = write_whole(
            &mut output,
            b"{\"a\":1}\n{\"b\":2}\n",
            64,
            |_| Ok(()),
            |_| (),
        )
        .expect_err("it fills");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(written, 10);
    }

    #[test]
    fn a_torn_line_is_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = LogFile::create(&path).expect("a file");
        log.write_all(b"one\n").expect("room");
        // As if the disk had taken ten of these bytes.
        let lines = b"two\nthree three\n";
        log.file.write_all(&lines[..10]).expect("room");
        log.take_back(lines, 10).expect("a regular file");
        assert_eq!(fs::read(&path).expect("the log"), b"one\ntwo\n");
        // What follows (a caller that goes on in another way) lands right behind, without a hole.
        log.write_all(b"four\n").expect("room");
        assert_eq!(fs::read(&path).expect("the log"), b"one\ntwo\nfour\n");
    }

    #[test]
    fn a_batch_whose_first_line_is_torn_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = LogFile::create(&path).expect("a file");
        log.file.write_all(b"tor").expect("room");
        log.take_back(b"torn\n", 3).expect("a regular file");
        assert_eq!(fs::read(&path).expect("the log"), b"");
    }

    #[test]
    fn an_appended_file_keeps_what_it_had() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, b"before\n").expect("a file");
        let appended = OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("the file");
        let mut log = LogFile::from_file(appended).expect("a file");
        log.file.write_all(b"one\ntw").expect("room");
        log.take_back(b"one\ntwo\n", 6).expect("a regular file");
        assert_eq!(fs::read(&path).expect("the log"), b"before\none\n");
    }

    #[test]
    fn a_file_that_another_writer_extended_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = LogFile::create(&path).expect("a file");
        log.file.write_all(b"one\ntw").expect("room");
        fs::write(&path, b"one\ntwelve\n").expect("the other writer");
        log.take_back(b"one\ntwo\n", 6).expect("left alone");
        assert_eq!(fs::read(&path).expect("the log"), b"one\ntwelve\n");
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("every Linux has /dev/full");
        let mut log = LogFile::from_file(full).expect("a device");
        let error = log.write_all(b"one\n").expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_pipe_without_a_reader_is_a_broken_pipe() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let writer: std::os::fd::OwnedFd = writer.into();
        let mut log = LogFile::from_file(writer.into()).expect("a pipe");
        let error = log.write_all(b"one\n").expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_non_blocking_pipe_is_waited_for() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let writer: std::os::fd::OwnedFd = writer.into();
        rustix::io::ioctl_fionbio(&writer, true).expect("non-blocking");
        let mut log = LogFile::from_file(writer.into()).expect("a pipe");
        let lines = "a line\n".repeat(100_000);
        let expected = lines.clone();
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        log.write_all(lines.as_bytes()).expect("it is read");
        drop(log);
        let text = reading.join().expect("the reader").expect("text");
        assert_eq!(text, expected);
    }
}
