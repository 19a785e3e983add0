//! Signals that end a recording, and which of them CMD has as well.
//!
//! A key of the terminal signals all of its foreground process group (`drivers/tty/n_tty.c:isig`, v6.12), and
//! CMD is in ours: handing that on would be a second Ctrl-C, which many programs take for "at once". So, as
//! `sudo` does, only what was sent to this process alone is handed on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use isol_trace_common::kill::SI_KERNEL;
use signal_hook_registry::register_sigaction;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// Signals that end the trace in good order.
pub(super) struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// A limit on the size of files: caught, so that writing fails instead, with a sentence.
    _file_size: Signal,
    noted: Arc<Noted>,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Its number.
    pub(super) signal: i32,
    /// All of this process's group has it.
    pub(super) is_of_group: bool,
}

/// What the signals' handlers note.
#[derive(Debug, Default)]
struct Noted {
    /// CMD is there.
    has_command: AtomicBool,
    /// Signals that this process alone has, as bits. What comes several times before anybody looks is one.
    alone: AtomicU32,
}

impl Noted {
    /// Notes a signal as it comes.
    fn came(&self, signal: i32, code: i32, leads_session: bool) {
        let is_shared = is_of_group(signal, code, leads_session);
        if !(is_shared && self.has_command.load(Ordering::Relaxed)) {
            self.alone.fetch_or(bit(signal), Ordering::Relaxed);
        }
    }

    /// Whether this process alone has the signal, which is taken.
    fn take(&self, signal: i32) -> bool {
        self.alone.fetch_and(!bit(signal), Ordering::Relaxed) & bit(signal) != 0
    }
}

/// Of a signal below 32.
const fn bit(signal: i32) -> u32 {
    1 << (signal & 31)
}

/// Whether all of this process's group has a signal that comes with this code.
///
/// From the kernel SIGINT is the terminal's. SIGHUP goes to the session's leader alone, and to the
/// foreground group when that ends (`drivers/tty/tty_jobctrl.c:tty_signal_session_leader`, v6.12). What
/// others send to a group cannot be told from what they send to this process.
const fn is_of_group(signal: i32, code: i32, leads_session: bool) -> bool {
    code == SI_KERNEL
        && match signal {
            libc::SIGINT => true,
            libc::SIGHUP => !leads_session,
            _ => false,
        }
}

impl Ends {
    /// Catches them from here on.
    pub(super) fn new() -> Result<Self, Error> {
        let catch = |kind| signal(kind).map_err(Error::Runtime);
        let noted = Arc::default();
        // Handlers run in the order in which they were registered: noted is a signal before it is told.
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            note(signal, &noted).map_err(Error::Runtime)?;
        }
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
            _file_size: catch(SignalKind::from_raw(libc::SIGXFSZ))?,
            noted,
        })
    }

    /// CMD has been started, and has from here on what its group has.
    pub(super) fn command_started(&self) {
        self.noted.has_command.store(true, Ordering::Relaxed);
    }

    /// The signal that came.
    pub(super) async fn next(&mut self) -> End {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => libc::SIGINT,
            _ = self.terminate.recv() => libc::SIGTERM,
            _ = self.hangup.recv() => libc::SIGHUP,
        };
        End {
            signal,
            is_of_group: !self.noted.take(signal),
        }
    }

    /// Whether one has come already.
    pub(super) async fn pending(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.next() => true,
            () = std::future::ready(()) => false,
        }
    }
}

/// Has a signal noted whenever it comes.
fn note(signal: i32, noted: &Arc<Noted>) -> io::Result<()> {
    let noted = Arc::clone(noted);
    let leads_session =
        rustix::process::getsid(None).is_ok_and(|session| session == rustix::process::getpid());
    let handler = move |info: &libc::siginfo_t| noted.came(signal, info.si_code, leads_session);
    // SAFETY: the handler loads and changes atomics, and nothing else.
    unsafe { register_sigaction(signal, handler) }?;
    Ok(())
}

#[cfg(test)]
mod tests;
