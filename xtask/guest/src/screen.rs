//! `demo-screen COMMAND…`: runs a program that takes the whole terminal, and ends when it gives it back.
//!
//! A tracer then still detaches its probes one by one, which takes an emulator many seconds. The
//! guest of a demonstration is thrown away: nobody has to wait for that.

use std::{
    env,
    io::{self, Write as _},
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::termios::{LocalModes, tcgetattr};

/// Between two looks at the terminal.
const STEP: Duration = Duration::from_millis(50);

/// How long the program may go on once it has given the terminal back, for its last words.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs it; the exit code is the program's, or success where it is not waited for.
#[must_use]
pub fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nobody can be told where that fails.
            let _ = writeln!(io::stderr(), "demo-screen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8> {
    let mut words = env::args_os().skip(1);
    let program = words.next().context("usage: demo-screen COMMAND…")?;
    let mut child = Command::new(&program)
        .args(words)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut screen = Screen::default();
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.unwrap_or(u8::MAX));
        }
        // Raw: keys go to the program as they are typed. A terminal that is gone has been left.
        let raw = tcgetattr(io::stdin())
            .is_ok_and(|settings| !settings.local_modes.contains(LocalModes::ICANON));
        if screen.is_over(raw, Instant::now()) {
            return Ok(0);
        }
        thread::sleep(STEP);
    }
}

/// A program that had the terminal for less has failed, and says so when it has cleaned up.
const BRIEF: Duration = Duration::from_secs(4);

/// Whether the program has the terminal, has not had it yet, or has given it back.
#[derive(Debug, Default)]
struct Screen {
    taken: Option<Instant>,
    left: Option<Instant>,
}

impl Screen {
    /// Whether it has given the terminal back for long enough.
    fn is_over(&mut self, raw: bool, now: Instant) -> bool {
        if raw {
            self.taken.get_or_insert(now);
            self.left = None;
            return false;
        }
        let Some(taken) = self.taken else {
            return false;
        };
        let left = *self.left.get_or_insert(now);
        left.duration_since(taken) >= BRIEF && now.duration_since(left) >= LAST_WORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_over_when_it_has_been_given_back() {
        let now = Instant::now();
        let mut screen = Screen::default();
        let hour = Duration::from_hours(1);
        assert!(!screen.is_over(false, now), "not taken yet");
        assert!(!screen.is_over(false, now + hour), "attaching takes long");
        assert!(!screen.is_over(true, now + hour));
        assert!(!screen.is_over(false, now + hour), "it may have last words");
        assert!(!screen.is_over(true, now + hour + STEP), "taken again");
        let left = now + 2 * hour;
        assert!(!screen.is_over(false, left));
        assert!(screen.is_over(false, left + LAST_WORDS));
    }

    #[test]
    fn a_program_that_fails_at_once_is_waited_for() {
        let now = Instant::now();
        let mut screen = Screen::default();
        assert!(!screen.is_over(true, now));
        assert!(!screen.is_over(false, now + STEP));
        assert!(!screen.is_over(false, now + STEP + 100 * LAST_WORDS));
    }
}
