//! When a recording is over: its time, its tasks, its command, a signal, or nobody who listens.

use std::{
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use super::{
    super::signals::{Came, Signals},
    asked::AskedTasks,
    command::Running,
};
use crate::{consume::Demand, error::Error, trace::Control};

/// How often totals are read, lost records reported and the log written out.
const TOTALS_PERIOD: Duration = Duration::from_millis(500);

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// What ended a recording.
pub(super) enum End {
    /// The time, or the reader of the log.
    Asked,
    /// The last task of `--pid`.
    Tasks,
    /// A signal, without a command that could have it.
    Signal,
    /// The command.
    Child(ExitStatus),
}

/// Who decides when a recording is over.
pub(super) struct Limits {
    deadline: Option<Instant>,
    tasks: AskedTasks,
    child: Option<Running>,
    signals: Signals,
    /// The command was asked to end.
    was_asked_to_end: bool,
}

impl Limits {
    /// These; the time runs from now on.
    pub(super) fn new(
        duration: Option<Duration>,
        tasks: AskedTasks,
        child: Option<Running>,
        signals: Signals,
    ) -> Self {
        Self {
            deadline: duration.map(|duration| Instant::now() + duration),
            tasks,
            child,
            signals,
            was_asked_to_end: false,
        }
    }

    /// The command, whose end may be still to come.
    pub(super) fn into_child(self) -> Option<Running> {
        self.child
    }

    /// Hands a signal on to the command. Without one, that is the end.
    fn signal(&mut self, came: Came) -> Option<End> {
        let Some(child) = &mut self.child else {
            return Some(End::Signal);
        };
        if came.is_of_group && child.is_in_our_group() {
            return None;
        }
        // A command that does not end when it is asked to must not keep the trace from ending.
        let is_request = came.signal != libc::SIGINT;
        let signal = if is_request && self.was_asked_to_end {
            libc::SIGKILL
        } else {
            came.signal
        };
        self.was_asked_to_end |= is_request;
        child.forward(signal);
        None
    }
}

impl Control for Limits {
    type End = End;

    const TOTALS_PERIOD: Duration = TOTALS_PERIOD;

    async fn ended(&mut self) -> Result<End, Error> {
        loop {
            tokio::select! {
                biased;
                came = self.signals.next() => {
                    if let Some(end) = self.signal(came) {
                        return Ok(end);
                    }
                }
                () = until(self.deadline) => return Ok(End::Asked),
                status = ended(&mut self.child) => return status.map(End::Child).map_err(Error::Runtime),
            }
        }
    }

    fn should_end(&mut self, demand: Demand) -> Option<End> {
        // A command goes on, and its breaches are counted, unless nobody wants to know.
        let is_unheard = match demand {
            Demand::All | Demand::Later => false,
            Demand::Failed => self.child.is_none(),
            Demand::Closed => true,
        };
        if is_unheard {
            return Some(End::Asked);
        }
        (self.child.is_none() && self.tasks.have_ended()).then_some(End::Tasks)
    }

    fn watched_changed(&mut self) {
        if let Some(child) = &self.child {
            child.follow();
        }
    }
}

/// A command whose time is over: it is asked to end, and killed where it does not.
pub(super) struct Stopping {
    child: Running,
    deadline: Option<Instant>,
}

impl Stopping {
    /// Asks it.
    pub(super) fn begin(child: Running) -> Self {
        child.forward(libc::SIGTERM);
        Self {
            child,
            deadline: Some(Instant::now() + GRACE),
        }
    }
}

impl Control for Stopping {
    type End = ExitStatus;

    const TOTALS_PERIOD: Duration = TOTALS_PERIOD;

    async fn ended(&mut self) -> Result<ExitStatus, Error> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status.map_err(Error::Runtime),
                () = until(self.deadline) => {
                    self.child.forward(libc::SIGKILL);
                    self.deadline = None;
                }
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn ended(child: &mut Option<Running>) -> io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}
