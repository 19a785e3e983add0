//! Signals that end a command, and which of them CMD has as well.
//!
//! They are caught before anything else is done ([`catch`]), so that whatever takes long can look whether one has
//! come ([`require_none`]): attaching is one long call. Once the account has begun, [`Signals`] tells the loop.
//!
//! A key of the terminal signals all of its foreground process group (`drivers/tty/n_tty.c:isig`, v6.12), and
//! CMD is in ours: handing that on would be a second Ctrl-C, which many programs take for "at once". So, as
//! `sudo` does, only what was sent to this process alone is handed on.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    },
};

use isol_trace_common::kill::SI_KERNEL;
use signal_hook_registry::register_sigaction;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;

/// What has come to this process.
static NOTED: Noted = Noted::new();

/// The signals that are caught.
const CAUGHT: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// Signals that end the trace in good order, as a stream.
pub(super) struct Signals {
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// Its number.
    pub(super) signal: i32,
    /// All of this process's group has it.
    pub(super) is_of_group: bool,
}

/// What the signals' handlers note.
#[derive(Debug)]
struct Noted {
    /// CMD is there.
    has_command: AtomicBool,
    /// Signals that this process alone has, as bits. What comes several times before anybody looks is one.
    alone: AtomicU32,
    /// The first that came; 0 before.
    first: AtomicI32,
    /// How many have come.
    count: AtomicU32,
}

impl Noted {
    const fn new() -> Self {
        Self {
            has_command: AtomicBool::new(false),
            alone: AtomicU32::new(0),
            first: AtomicI32::new(0),
            count: AtomicU32::new(0),
        }
    }

    /// Notes a signal as it comes.
    fn came(&self, signal: i32, code: i32, leads_session: bool) {
        let is_shared = is_of_group(signal, code, leads_session);
        if !(is_shared && self.has_command.load(Ordering::Relaxed)) {
            self.alone.fetch_or(bit(signal), Ordering::Relaxed);
        }
        let _ = self
            .first
            .compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether this process alone has the signal, which is taken.
    fn take(&self, signal: i32) -> bool {
        self.alone.fetch_and(!bit(signal), Ordering::Relaxed) & bit(signal) != 0
    }
}

/// Catches the signals from here on.
pub(super) fn catch() -> Result<(), Error> {
    static CATCHING: OnceLock<()> = OnceLock::new();
    if CATCHING.set(()).is_err() {
        return Ok(());
    }
    for signal in CAUGHT {
        note(signal).map_err(Error::Runtime)?;
    }
    Ok(())
}

/// Fails if a signal has come: before the account begins that ends the command.
pub(super) fn require_none() -> Result<(), Error> {
    match NOTED.first.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Error::Interrupted { signal }),
    }
}

/// How many signals have come.
pub(super) fn count() -> u32 {
    NOTED.count.load(Ordering::Acquire)
}

/// Of a signal below 32.
const fn bit(signal: i32) -> u32 {
    1 << (signal & 31)
}

/// Whether all of this process's group has a signal that comes with this code.
///
/// From the kernel SIGINT and SIGQUIT are the terminal's. SIGHUP goes to the session's leader alone, and to the
/// foreground group when that ends (`drivers/tty/tty_jobctrl.c:tty_signal_session_leader`, v6.12). What
/// others send to a group cannot be told from what they send to this process.
const fn is_of_group(signal: i32, code: i32, leads_session: bool) -> bool {
    code == SI_KERNEL
        && match signal {
            libc::SIGINT | libc::SIGQUIT => true,
            libc::SIGHUP => !leads_session,
            _ => false,
        }
}

/// CMD is about to be started, and has from here on what its group has: called before, since CMD may run, and
/// a key be pressed for it, before its start is known here. A key that comes in between reaches nobody,
/// and can be pressed again; a second one would be more than was asked for.
pub(super) fn command_starts() {
    NOTED.has_command.store(true, Ordering::Relaxed);
}

impl Signals {
    /// Those that come from here on. Needs a runtime.
    pub(super) fn new() -> Result<Self, Error> {
        // Handlers run in the order in which they were registered: a signal is noted before the stream has it.
        catch()?;
        let listen = |kind| signal(kind).map_err(Error::Runtime);
        // A limit on the size of files: caught, so that writing fails instead, with a sentence.
        drop(listen(SignalKind::from_raw(libc::SIGXFSZ))?);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The signal that came.
    pub(super) async fn next(&mut self) -> Came {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => libc::SIGINT,
            _ = self.quit.recv() => libc::SIGQUIT,
            _ = self.terminate.recv() => libc::SIGTERM,
            _ = self.hangup.recv() => libc::SIGHUP,
        };
        Came {
            signal,
            is_of_group: !NOTED.take(signal),
        }
    }
}

/// Has a signal noted whenever it comes.
fn note(signal: i32) -> io::Result<()> {
    // It is 0 where init began no session, or the leader is in another PID namespace: no number for rustix.
    // SAFETY: no memory is involved.
    let session = unsafe { libc::getsid(0) };
    let leads_session = session == rustix::process::getpid().as_raw_nonzero().get();
    let handler = move |info: &libc::siginfo_t| NOTED.came(signal, info.si_code, leads_session);
    // SAFETY: the handler loads and changes atomics, and nothing else.
    unsafe { register_sigaction(signal, handler) }?;
    Ok(())
}

#[cfg(test)]
mod tests;
