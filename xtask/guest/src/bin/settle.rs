//! Waits until the guest has come to rest: `settle`.

use std::process::ExitCode;

fn main() -> ExitCode {
    isol_trace_guest::settle::main()
}
