//! The developer's own terminal: its size, and its settings put back whatever happens.

use std::io;

use isol_trace_guest::boot::TerminalSize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Whether a person sits at both ends.
pub(crate) fn present() -> bool {
    isatty(io::stdin()) && isatty(io::stdout())
}

/// The terminal's size, or the size that every program must fit.
pub(crate) fn size() -> TerminalSize {
    let size = tcgetwinsize(io::stdout())
        .ok()
        .filter(|size| size.ws_row > 0 && size.ws_col > 0);
    TerminalSize {
        rows: size.map_or(24, |size| size.ws_row),
        columns: size.map_or(80, |size| size.ws_col),
    }
}

/// Puts the terminal's settings back when dropped: the emulator sets it raw and may be killed.
#[derive(Debug)]
pub(crate) struct Guard {
    before: Option<Termios>,
}

impl Guard {
    /// Remembers the settings of now.
    pub(crate) fn new() -> Self {
        Self {
            before: tcgetattr(io::stdin()).ok(),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
