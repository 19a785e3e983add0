//! The program, as a script drives it.

#![expect(clippy::expect_used, reason = "a helper of tests fails as tests do")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    thread,
};

/// What the program makes of `input` on its stdin.
pub(crate) fn with_stdin(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is there");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            // Who refuses its input does not read it to the end.
            let _ = stdin.write_all(input.as_bytes());
        });
        child.wait_with_output()
    });
    output.expect("it ends")
}

/// Exit status, stdout and stderr.
pub(crate) fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("what it prints is UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
