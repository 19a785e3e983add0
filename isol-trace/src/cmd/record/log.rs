//! The log that is written while a trace runs.
//!
//! Lines go into a [`Queue`] and are written on a thread of its own: whatever the output does, the loop goes on. What
//! the output cannot take, the engine does not read from the rings ([`Demand::Later`]): the kernel counts it as lost, and
//! the log adds up.

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use crate::{
    cmd::{signals, stderr::say},
    consume::{Consumer, Demand, json::JsonLines, people::PeopleLines},
    error::Error,
    event::model::{Event, Totals},
    plan::output::{Begun, Changed, Kept, Output},
    sink::{
        LogFile, Queue,
        queue::{Outcome, QueueWriter},
    },
};

/// How long an output may take nothing before it is said.
const SLOW: Duration = Duration::from_secs(5);

/// How long the end waits for a pipe or a terminal that takes nothing.
const STALLED: Duration = Duration::from_millis(500);

/// The same for a file: disks take their time.
const DISK_STALLED: Duration = Duration::from_secs(5);

/// How long the end waits in all for a pipe or a terminal, where a signal asked for it.
const HURRY: Duration = Duration::from_millis(400);

/// The log, and what has become of writing it.
pub(super) struct Log<'a> {
    /// What makes lines of events; `None` where nothing is written.
    format: Option<Box<dyn Consumer>>,
    queue: Option<Queue>,
    kept: Option<Kept>,
    destination: Destination,
    failed: Option<Failure>,
    /// Since when the output has taken nothing, and how much it had.
    stalled: Option<(Instant, u64)>,
    has_said_slow: bool,
    /// Where the trace is ending: how long it may wait for its output.
    ending: &'a Cell<Option<Ending>>,
}

/// Where it goes.
#[derive(Clone, Debug)]
struct Destination {
    name: String,
    is_stdout: bool,
    is_regular: bool,
}

/// Why it takes no more.
enum Failure {
    Write(io::Error),
    Changed(Changed),
    /// Nobody reads it.
    NotRead {
        /// Lines that were not written.
        lines: u64,
    },
}

/// How long the end waits for others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// Signals that had come by then: one more means at once.
    signals: u32,
    /// What is left where a signal asked for the end.
    hurry: Option<Duration>,
}

impl Ending {
    /// The end begins. `by_signal` says whether one asked for it.
    pub(super) fn begin(by_signal: bool) -> Self {
        Self {
            signals: signals::count(),
            hurry: by_signal.then_some(HURRY),
        }
    }

    /// Whether a signal asked for it.
    pub(super) const fn is_hurried(&self) -> bool {
        self.hurry.is_some()
    }

    /// Whether a further signal has come.
    pub(super) fn is_over(&self) -> bool {
        signals::count() != self.signals
    }

    /// Waits for an output with `wait`, which is told how long it may.
    fn spend<T>(
        &mut self,
        is_regular: bool,
        wait: impl FnOnce(&mut dyn FnMut(Duration) -> bool) -> T,
    ) -> T {
        let begun = Instant::now();
        let ending = *self;
        let result = wait(&mut |stalled| {
            let is_late = ending.hurry.is_some_and(|hurry| begun.elapsed() >= hurry);
            let limit = if is_regular { DISK_STALLED } else { STALLED };
            !ending.is_over() && stalled < limit && (is_regular || !is_late)
        });
        self.hurry = self
            .hurry
            .map(|hurry| hurry.saturating_sub(begun.elapsed()));
        result
    }
}

impl<'a> Log<'a> {
    /// Begins it. From when `ending` says so, its output is waited for no longer than that.
    pub(super) fn begin(output: Output, ending: &'a Cell<Option<Ending>>) -> Result<Self, Error> {
        let mut log = Self {
            format: None,
            queue: None,
            kept: None,
            destination: Destination {
                name: "stdout".to_owned(),
                is_stdout: true,
                is_regular: false,
            },
            failed: None,
            stalled: None,
            has_said_slow: false,
            ending,
        };
        match output {
            Output::Nowhere => {}
            Output::Stdout => {
                let stdout = LogFile::stdout().map_err(Error::Stdout)?;
                log.write_to(stdout, |queue| Box::new(JsonLines::new(queue)))?;
            }
            Output::People => {
                let stdout = LogFile::stdout().map_err(Error::Stdout)?;
                log.write_to(stdout, |queue| Box::new(PeopleLines::new(queue)))?;
            }
            Output::File(file) => {
                log.destination.name = file.path().display().to_string();
                log.destination.is_stdout = false;
                let Begun { file, kept } = file.begin()?;
                log.kept = kept;
                let file = LogFile::from_file(file).map_err(Error::Stdout)?;
                log.write_to(file, |queue| Box::new(JsonLines::new(queue)))?;
            }
        }
        Ok(log)
    }

    fn write_to(
        &mut self,
        file: LogFile,
        format: impl FnOnce(QueueWriter) -> Box<dyn Consumer>,
    ) -> Result<(), Error> {
        self.destination.is_regular = file.is_regular();
        let queue = Queue::start(file).map_err(Error::Stdout)?;
        self.format = Some(format(queue.writer()));
        self.queue = Some(queue);
        Ok(())
    }

    /// Has it hear something, unless it takes no more.
    fn hear(&mut self, hear: impl FnOnce(&mut dyn Consumer)) {
        if self.failed.is_none()
            && let Some(format) = &mut self.format
        {
            hear(&mut **format);
            if let Some(error) = format.take_error() {
                self.fail(Failure::Write(error));
            }
        }
    }

    /// Looks what has become of the output.
    fn look(&mut self) {
        let Some(queue) = &self.queue else { return };
        if self.failed.is_some() {
            return;
        }
        if let Some(error) = queue.take_error() {
            self.fail(Failure::Write(error));
            return;
        }
        let written = queue.written();
        if let Some(kept) = &self.kept
            && let Err(changed) = kept.look(written)
        {
            self.fail(Failure::Changed(changed));
            return;
        }
        let is_waiting = !queue.is_empty();
        let since = match self.stalled {
            Some((since, before)) if is_waiting && before == written => since,
            _ => Instant::now(),
        };
        self.stalled = Some((since, written));
        if since.elapsed() >= SLOW && !self.has_said_slow {
            self.has_said_slow = true;
            say(&format!(
                "nobody reads {}: when {} MiB wait, records are lost (and counted) until somebody does",
                self.destination.name,
                crate::sink::queue::ROOM >> 20
            ));
        }
    }

    /// At the end what the rings still have must find room, or not be written at all.
    fn wait_for_room(&mut self) {
        let (Some(queue), Some(mut ending), None) = (&self.queue, self.ending.get(), &self.failed)
        else {
            return;
        };
        if queue.has_room() {
            return;
        }
        let has_room = ending.spend(self.destination.is_regular, |go_on| queue.wait(go_on));
        self.ending.set(Some(ending));
        if !has_room {
            self.failed = Some(Failure::NotRead { lines: 0 });
        }
    }

    fn fail(&mut self, failure: Failure) {
        // What the queue knows is nearer to the cause.
        let failure = match self.queue.as_ref().and_then(Queue::take_error) {
            Some(error) => Failure::Write(error),
            None => failure,
        };
        self.failed = Some(failure);
        if self.is_closed_pipe() {
            return;
        }
        let name = &self.destination.name;
        match &self.failed {
            Some(Failure::Write(error)) => {
                say(&format!(
                    "the log ends here: cannot write to {name}: {error}"
                ));
            }
            Some(Failure::Changed(changed)) => {
                say(&format!("the log ends here, in {name}: {changed}"));
            }
            _ => {}
        }
    }

    /// Whether nobody can read it any more, as stdout behind `head`.
    fn is_closed_pipe(&self) -> bool {
        let is_broken = matches!(
            &self.failed,
            Some(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe
        );
        self.destination.is_stdout && is_broken
    }

    /// Its name, where it is a file that can be read later.
    pub(super) fn file(&self) -> Option<&str> {
        let is_there = self.kept.is_some() && self.failed.is_none();
        is_there.then_some(self.destination.name.as_str())
    }

    /// Whether it was to go to a file or device that a person has named.
    pub(super) const fn has_name(&self) -> bool {
        !self.destination.is_stdout
    }

    /// Whether another program reads it while it is written, as from a pipe.
    pub(super) const fn is_read_by_another(&self) -> bool {
        self.queue.is_some() && !self.destination.is_regular
    }

    /// Writes the rest, and says whether it is whole.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let mut ending = self.ending.get().unwrap_or_else(|| Ending::begin(false));
        drop(self.format.take());
        let Destination {
            name,
            is_stdout,
            is_regular,
        } = self.destination;
        let failed = |source| {
            let name = name.clone();
            if is_stdout {
                Error::Stdout(source)
            } else {
                Error::Log { name, source }
            }
        };
        let not_read = |lines| {
            let name = name.clone();
            if is_regular {
                Error::CutShort { name }
            } else {
                Error::NotRead { name, lines }
            }
        };
        let Some(queue) = self.queue else {
            return Ok(());
        };
        let written = match self.failed {
            Some(Failure::Write(error)) => return Err(failed(error)),
            Some(Failure::Changed(source)) => {
                let name = name.clone();
                return Err(Error::Changed { name, source });
            }
            Some(Failure::NotRead { lines }) => {
                let waiting = match queue.close(|_| false) {
                    Outcome::Abandoned { lines } | Outcome::Failed { lines, .. } => lines,
                    _ => 0,
                };
                return Err(not_read(lines + waiting));
            }
            None => {
                queue.written_at_end(|queue| ending.spend(is_regular, |go_on| queue.close(go_on)))
            }
        };
        match written {
            (Outcome::Written, bytes) => match self.kept {
                Some(kept) => kept.check(bytes).map_err(|source| Error::Changed {
                    name: name.clone(),
                    source,
                }),
                None => Ok(()),
            },
            (Outcome::NotSynced, _) => {
                say(&format!(
                    "the log {name} is whole, and the disk has not confirmed it yet"
                ));
                Ok(())
            }
            (Outcome::Failed { error, .. }, _) => Err(failed(error)),
            (Outcome::Abandoned { lines }, _) => Err(not_read(lines)),
        }
    }
}

impl Consumer for Log<'_> {
    /// Takes an event. A log that takes no more stays whole up to its last line, and the trace goes on without it: the
    /// verdict comes at the end.
    fn event(&mut self, event: &Event) {
        self.wait_for_room();
        if let Some(Failure::NotRead { lines }) = &mut self.failed {
            *lines += 1;
        }
        self.hear(|format| format.event(event));
        if let (Event::Header(_), Some(queue)) = (event, &self.queue) {
            // Whoever reads stdout finds the header before what a command prints there.
            let before = signals::count();
            queue.wait(|stalled| stalled < STALLED && signals::count() == before);
        }
    }

    fn totals(&mut self, totals: &Totals) {
        self.hear(|format| format.totals(totals));
    }

    fn flush(&mut self) {
        self.hear(|format| format.flush());
        self.look();
    }

    fn demand(&self) -> Demand {
        match &self.failed {
            Some(_) if self.is_closed_pipe() => Demand::Closed,
            Some(_) => Demand::Failed,
            None if self.queue.as_ref().is_none_or(Queue::has_room) => Demand::All,
            None => Demand::Later,
        }
    }
}
