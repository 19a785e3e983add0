//! Runs a program that takes the whole terminal: `demo-screen COMMAND…`.

use std::process::ExitCode;

fn main() -> ExitCode {
    isol_trace_guest::screen::main()
}
