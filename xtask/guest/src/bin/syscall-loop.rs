//! A timed loop of the cheapest system call: `syscall-loop CPU BATCHES CALLS`.

use std::process::ExitCode;

fn main() -> ExitCode {
    isol_trace_guest::syscalls::main()
}
