//! What ends a command early. The text of each is the one sentence that a person reads:
//! what failed, on what, and what to do.

use std::io;

use crate::{
    host::affinity::AffinityError,
    plan::{PlanError, command::CommandError, output::OutputError},
};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request or the host is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The tracer could not be kept off the watched CPUs.
    #[error(transparent)]
    Affinity(#[from] AffinityError),
    /// The command could not be started after all.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The log could not be begun.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Stdout took no more.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
}

impl Error {
    /// Whether the reader of stdout closed it, as `head` does: that is no error.
    #[must_use]
    pub fn is_closed_stdout(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
