//! What the developer reads while a command runs: one line a step, on standard error.

use std::fmt::Display;

/// Says what is being done, on standard error.
#[expect(
    clippy::print_stderr,
    reason = "the one place where progress reaches the developer"
)]
pub(crate) fn say(line: impl Display) {
    eprintln!("{line}");
}

/// Prints a result on standard output.
#[expect(
    clippy::print_stdout,
    reason = "the one place where results reach the developer"
)]
pub(crate) fn print(line: impl Display) {
    println!("{line}");
}
