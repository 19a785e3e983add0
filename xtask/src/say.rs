//! What the developer reads while a command runs: one line a step, on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Says what is being done, on standard error: by one write, since other threads and programs write
/// to the same place.
#[expect(
    clippy::print_stderr,
    reason = "the one place where progress reaches the developer"
)]
pub(crate) fn say(line: impl Display) {
    let line = format!("{line}\n");
    eprint!("{line}");
}

/// Prints a result on standard output.
#[expect(
    clippy::print_stdout,
    reason = "the one place where results reach the developer"
)]
pub(crate) fn print(line: impl Display) {
    println!("{line}");
}

/// Says what is written to it, each line when it is whole and with the name of whose it is: guests
/// run side by side.
#[derive(Debug)]
pub(crate) struct Lines {
    whose: String,
    begun: Vec<u8>,
}

impl Lines {
    /// The lines of `whose`.
    pub(crate) fn of(whose: &str) -> Self {
        Self {
            whose: whose.to_owned(),
            begun: Vec::new(),
        }
    }

    /// Takes bytes in, and gives the lines that are whole now.
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.begun.extend(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            lines.push(self.line(&line));
        }
        lines
    }

    fn line(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        format!("{}: {}", self.whose, text.trim_end_matches(['\n', '\r']))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).iter().for_each(say);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            say(self.line(&self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_when_it_is_whole() {
        let mut lines = Lines::of("6.1");
        assert_eq!(lines.take(b"one\r\ntw"), ["6.1: one"]);
        assert_eq!(lines.take(b"o\n\nthr"), ["6.1: two", "6.1: "]);
        assert_eq!(lines.take(b"ee"), [""; 0]);
        assert_eq!(lines.line(&lines.begun), "6.1: three");
    }
}
