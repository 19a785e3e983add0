//! The demonstration's victims and their noisy neighbour: `demo-load CPU CPU`.

use std::process::ExitCode;

fn main() -> ExitCode {
    isol_trace_guest::demo::main()
}
