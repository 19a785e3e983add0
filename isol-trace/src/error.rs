//! What ends a command early. The text of each is the one sentence that a person reads:
//! what failed, on what, and what to do.

use std::io;

use crate::{
    bpf::error::TracerError,
    event::signal::Signal,
    host::{
        HostError,
        affinity::AffinityError,
        descriptors::{TooFewDescriptors, TooLittleMemory},
    },
    plan::{
        PlanError,
        command::CommandError,
        output::{Changed, OutputError},
    },
    wire::LogError,
};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request or the host is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file of the host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The tracer could not be kept off the watched CPUs.
    #[error(transparent)]
    Affinity(#[from] AffinityError),
    /// Too few descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// Too little memory.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// The command could not be started after all.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What is to end a strict command with the tracer could not be started.
    #[error("cannot start the guard that ends a strict command when isol-trace dies: {0}")]
    Guard(#[source] io::Error),
    /// The log could not be begun.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The programs could not be loaded, attached or read.
    #[error(transparent)]
    Tracer(Box<TracerError>),
    /// Our own number, as probes see it, cannot be learnt.
    #[error(
        "cannot tell isol-trace from other processes: in a PID namespace, as in a container, a program of the kernel's has to say its number, and it failed: {0}"
    )]
    Numbers(#[source] io::Error),
    /// The thread that names places could not be started.
    #[error("cannot start the thread that names places in programs: {0}")]
    Symbols(#[source] io::Error),
    /// The runtime, its signals or its children.
    #[error("cannot run the tracer's own event loop: {0}")]
    Runtime(#[source] io::Error),
    /// A signal came before there was anything to sum up.
    #[error("nothing was recorded: {name} came before the trace had begun", name = signal_name(*signal))]
    Interrupted {
        /// Its number.
        signal: i32,
    },
    /// Nobody took the end of the log.
    #[error(
        "the log ends early: nobody reads {name}, and {lines} of its lines were not written; the summary is among them"
    )]
    NotRead {
        /// Where it went.
        name: String,
        /// How many lines.
        lines: u64,
    },
    /// The end of the wait for a disk.
    #[error(
        "the log {name} ends early: it was not all written when a further signal, or five seconds without progress, ended the wait; its summary is missing"
    )]
    CutShort {
        /// The file.
        name: String,
    },
    /// Somebody else did something to the log.
    #[error("the log '{name}' cannot be relied on: {source}")]
    Changed {
        /// As typed.
        name: String,
        /// What.
        source: Changed,
    },
    /// The terminal refused the dashboard.
    #[error("cannot draw on this terminal: {0}")]
    Terminal(#[source] io::Error),
    /// The log took no more.
    #[error("the log '{name}' is incomplete, whole up to its last line: {source}")]
    Log {
        /// As typed.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A log cannot be opened.
    #[error("cannot read the log '{name}': {source}")]
    OpenLog {
        /// As typed.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// What was given is no log that can be read.
    #[error("cannot read the log '{name}': {source}")]
    ReadLog {
        /// As typed.
        name: String,
        /// Why.
        source: LogError,
    },
    /// Stdout took no more.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
}

/// The name of a signal that this process caught.
fn signal_name(number: i32) -> String {
    let signal = u32::try_from(number).ok().and_then(Signal::new);
    signal.map_or_else(|| number.to_string(), |signal| signal.to_string())
}

impl Error {
    /// The exit status that it stands for: 128 and the signal's number, or 2.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        const WRONG: u8 = 2;
        match self {
            Self::Interrupted { signal } => u8::try_from(128 + signal).unwrap_or(WRONG),
            _ => WRONG,
        }
    }

    /// From anything that the BPF side reports.
    pub fn tracer(error: impl Into<TracerError>) -> Self {
        Self::Tracer(Box::new(error.into()))
    }

    /// Whether the reader of stdout closed it, as `head` does: that is no error.
    #[must_use]
    pub fn is_closed_stdout(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
