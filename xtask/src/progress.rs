//! That something long goes on, for the developer who waits: on a terminal one line that is written
//! anew, elsewhere a line from time to time.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// Between two lines where there is no terminal.
const SELDOM: Duration = Duration::from_secs(15);

/// Between two lines on a terminal, which replace each other.
const OFTEN: Duration = Duration::from_secs(1);

/// Columns that a line may take; no terminal in use is narrower.
const COLUMNS: usize = 79;

/// The end of a log that is read for its last line.
const END: u64 = 512;

/// Something long.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    began: Instant,
    last: Instant,
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// It begins now.
    pub(crate) fn begin(what: &str) -> Self {
        let now = Instant::now();
        Self {
            what: what.to_owned(),
            began: now,
            last: now,
            terminal: io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// It goes on; shows the last line of its log, if it is time to show something.
    pub(crate) fn go_on(&mut self, log: Option<&Path>) {
        let pause = if self.terminal { OFTEN } else { SELDOM };
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let doing = log.and_then(last_line).unwrap_or_default();
        let line = line(&self.what, self.began.elapsed(), &doing);
        let mut stderr = io::stderr().lock();
        // Whoever does not see it misses nothing else.
        let _ = if self.terminal {
            self.shown = true;
            write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{line}")
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }
}

/// One line, short enough for a terminal.
fn line(what: &str, time: Duration, doing: &str) -> String {
    let seconds = time.as_secs();
    let line = format!("  {what}, {seconds} s: {doing}");
    let line = line.trim_end_matches([':', ' ']);
    line.chars()
        .filter(|character| !character.is_control())
        .take(COLUMNS)
        .collect()
}

/// The last line of a log that says something.
fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))
        .ok()?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let line = end.lines().rev().map(str::trim).find(|it| !it.is_empty())?;
    Some(line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_says_what_for_how_long_and_where_it_is() {
        let time = Duration::from_secs(12);
        assert_eq!(
            line("bpf-linker", time, "Compiling ar v0.9.0"),
            "  bpf-linker, 12 s: Compiling ar v0.9.0"
        );
        assert_eq!(line("rustup", time, ""), "  rustup, 12 s");
        let long = line("x", time, &"é\x1b[2J".repeat(100));
        assert_eq!(long.chars().count(), COLUMNS);
        assert!(!long.contains('\x1b'));
    }

    #[test]
    fn a_log_is_read_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(last_line(&log), None);
        fs::write(&log, "").unwrap();
        assert_eq!(last_line(&log), None);
        fs::write(&log, format!("{}\n  last one \n\n", "first\n".repeat(1000))).unwrap();
        assert_eq!(last_line(&log).as_deref(), Some("last one"));
    }
}
