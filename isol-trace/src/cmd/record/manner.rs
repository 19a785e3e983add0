//! How a command is started.

use std::{io, process::Command};

use crate::host::affinity::HugePages;

/// How a command is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// What it is to have of huge pages.
    pub(super) huge_pages: HugePages,
    /// It does not outlive this process, however that ends.
    pub(super) is_strict: bool,
    /// Stdout has the log, and what the command prints there goes to stderr: in between it would break the log's lines.
    pub(super) has_log_on_stdout: bool,
}

impl Manner {
    /// Where what it prints goes.
    pub(super) fn lead_stdout(self, command: &mut Command) {
        if self.has_log_on_stdout {
            command.stdout(io::stderr());
        }
    }
}
