//! Writing on a thread of its own, so that an output which takes nothing holds nobody up.
//!
//! Whoever makes lines puts them into the queue and never waits. It looks at [`Queue::has_room`] before it makes
//! more: what is not taken from the kernel's rings meanwhile is counted there, as lost, so that a log with a slow
//! reader still adds up.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::LogFile;

/// Bytes that may wait; beyond that there is no room. What is under way comes on top.
pub const ROOM: usize = 16 << 20;

/// How often [`Queue::close`] asks whether it is to go on waiting.
const GLANCE: Duration = Duration::from_millis(20);

/// Lines on their way to an output. Dropping it does not wait for them.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

/// The end of a queue into which lines are put.
#[derive(Debug)]
pub struct QueueWriter {
    shared: Arc<Shared>,
}

/// How writing ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is written, and a regular file is on its disk.
    Written,
    /// All is written; how far the disk is, is not known.
    NotSynced,
    /// The output took no more.
    Failed {
        /// Why.
        error: io::Error,
        /// Lines that were not written.
        lines: u64,
    },
    /// Nobody took the rest in time.
    Abandoned {
        /// Lines that were not written. Of a terminal up to a page more may have been.
        lines: u64,
    },
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Lines that were put in and have not gone out.
    lines: AtomicU64,
    /// Bytes that have gone out.
    written: AtomicU64,
    /// The output has failed.
    has_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Vec<u8>>,
    /// Bytes of the batches, and of the one that is being written.
    bytes: usize,
    /// Nothing more will come.
    is_closing: bool,
    phase: Phase,
    error: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Writing,
    Syncing,
    Done,
}

impl Queue {
    /// Begins to write to an output. The thread runs on the CPUs of its caller.
    pub fn start(output: LogFile) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("isol-trace-log".to_owned())
            .spawn(move || theirs.write_out(output))?;
        Ok(Self { shared })
    }

    /// Where lines are put.
    #[must_use]
    pub fn writer(&self) -> QueueWriter {
        QueueWriter {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether more lines should be made.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.lock().bytes < ROOM
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.lock().bytes == 0
    }

    /// Bytes that have gone out.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    /// Why the output takes no more, if it does not: the first time that it is asked.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        if !self.shared.has_failed.load(Ordering::Acquire) {
            return None;
        }
        self.shared.lock().error.take()
    }

    /// Waits until nothing waits to be written, as long as `go_on` says so. It is given the time since the output
    /// last took something.
    pub fn wait(&self, mut go_on: impl FnMut(Duration) -> bool) -> bool {
        let mut progress = Progress::new(self.written());
        let mut state = self.shared.lock();
        while state.bytes > 0 && state.error.is_none() {
            if !go_on(progress.since(self.written())) {
                return false;
            }
            state = self.shared.wait(state);
        }
        true
    }

    /// Writes the rest and ends, as long as `go_on` says so.
    pub fn close(self, mut go_on: impl FnMut(Duration) -> bool) -> Outcome {
        let mut progress = Progress::new(self.written());
        let mut state = self.shared.lock();
        state.is_closing = true;
        self.shared.changed.notify_all();
        loop {
            let lines = self.shared.lines.load(Ordering::Acquire);
            if let Some(error) = state.error.take() {
                return Outcome::Failed { error, lines };
            }
            if state.phase == Phase::Done {
                return Outcome::Written;
            }
            if !go_on(progress.since(self.written())) {
                return match state.phase {
                    Phase::Writing => Outcome::Abandoned { lines },
                    Phase::Syncing | Phase::Done => Outcome::NotSynced,
                };
            }
            state = self.shared.wait(state);
        }
    }
}

impl Queue {
    /// Ends it with `close`, and says how many bytes went out.
    pub fn written_at_end(self, close: impl FnOnce(Self) -> Outcome) -> (Outcome, u64) {
        let shared = Arc::clone(&self.shared);
        let outcome = close(self);
        (outcome, shared.written.load(Ordering::Acquire))
    }
}

/// Since when nothing has gone out.
struct Progress {
    written: u64,
    since: Instant,
}

impl Progress {
    fn new(written: u64) -> Self {
        Self {
            written,
            since: Instant::now(),
        }
    }

    fn since(&mut self, written: u64) -> Duration {
        if written != self.written {
            *self = Self::new(written);
        }
        self.since.elapsed()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under it can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, GLANCE);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The thread.
    fn write_out(&self, mut output: LogFile) {
        while let Some(batch) = self.next() {
            let result = output.write_lines(&batch, |piece| {
                self.written.fetch_add(piece.len() as u64, Ordering::AcqRel);
                self.lines.fetch_sub(lines(piece), Ordering::AcqRel);
            });
            let mut state = self.lock();
            state.bytes = state.bytes.saturating_sub(batch.len());
            if let Err(error) = result {
                self.fail(&mut state, error);
                return;
            }
            self.changed.notify_all();
        }
        self.lock().phase = Phase::Syncing;
        let synced = output.sync();
        let mut state = self.lock();
        match synced {
            Ok(()) => {
                state.phase = Phase::Done;
                self.changed.notify_all();
            }
            Err(error) => self.fail(&mut state, error),
        }
    }

    /// The next batch; `None` at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.batches.pop_front() {
                return Some(batch);
            }
            if state.is_closing {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, state: &mut State, error: io::Error) {
        state.batches.clear();
        state.bytes = 0;
        state.error = Some(error);
        self.has_failed.store(true, Ordering::Release);
        self.changed.notify_all();
    }
}

impl Write for QueueWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.shared.has_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the output has failed"));
        }
        self.shared.lines.fetch_add(lines(bytes), Ordering::AcqRel);
        let mut state = self.shared.lock();
        state.bytes = state.bytes.saturating_add(bytes.len());
        state.batches.push_back(bytes.to_vec());
        self.shared.changed.notify_all();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that end in a piece of text.
fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::OpenOptions,
        io::{PipeReader, Read as _},
        os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    };

    use super::*;

    fn piped() -> (PipeReader, Queue) {
        let (reader, writer) = io::pipe().unwrap();
        let file = LogFile::from_file(OwnedFd::from(writer).into()).unwrap();
        (reader, Queue::start(file).unwrap())
    }

    #[test]
    fn what_is_put_in_comes_out_in_order() {
        let (mut reader, queue) = piped();
        let numbers: Vec<_> = (0..200_000).map(|number| number.to_string()).collect();
        let text = numbers.join("\n");
        let reading = thread::spawn(move || {
            let mut read = String::new();
            reader.read_to_string(&mut read).map(|_| read)
        });
        let mut writer = queue.writer();
        for part in text.as_bytes().chunks(1000) {
            writer.write_all(part).unwrap();
        }
        drop(writer);
        let outcome = queue.close(|_| true);
        assert!(matches!(outcome, Outcome::Written), "{outcome:?}");
        assert_eq!(reading.join().unwrap().unwrap(), text);
    }

    #[test]
    fn an_output_that_nobody_reads_holds_nobody_up() {
        let (_reader, queue) = piped();
        let mut writer = queue.writer();
        let batch = "a line of twenty by\n".repeat(4096);
        let mut put = 0;
        while queue.has_room() {
            writer.write_all(batch.as_bytes()).unwrap();
            put += 4096;
        }
        assert!(!queue.is_empty());
        let outcome = queue.close(|stalled| stalled < Duration::from_millis(100));
        let Outcome::Abandoned { lines } = outcome else {
            panic!("{outcome:?}");
        };
        // What a pipe takes, which somebody could still read (pipe(7): 65,536 bytes).
        assert_eq!(put - lines, 65_536 / 20);
    }

    #[test]
    fn an_output_that_fails_says_so() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let queue = Queue::start(LogFile::from_file(full).unwrap()).unwrap();
        let mut writer = queue.writer();
        writer.write_all(b"one\ntwo\n").unwrap();
        assert!(queue.wait(|_| true));
        assert!(writer.write_all(b"three\n").is_err());
        let outcome = queue.close(|_| true);
        let Outcome::Failed { error, lines } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(lines, 2);
    }

    /// A descriptor that stands for a path alone refuses fsync(2): that this is said shows that it was asked.
    #[test]
    fn a_regular_file_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let queue = Queue::start(LogFile::create(&path).unwrap()).unwrap();
        queue.writer().write_all(b"one\n").unwrap();
        let outcome = queue.close(|_| true);
        assert!(matches!(outcome, Outcome::Written), "{outcome:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        let unsynced = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(&path)
            .unwrap();
        let queue = Queue::start(LogFile::from_file(unsynced).unwrap()).unwrap();
        let outcome = queue.close(|_| true);
        let Outcome::Failed { error, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
