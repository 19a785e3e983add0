//! PID 1 of the test guest.

fn main() {
    isol_trace_guest::init::main();
}
