//! Each file that the program opens is in a table of `docs/files.md`, with what reading it does.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails as tests do"
)]

mod opened;
mod table;

use std::process::Command;

use opened::{Opened, opened};
use table::Table;

fn isol_trace(words: &[&str]) -> Opened {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
    command.args(words).stdout(std::process::Stdio::null());
    opened(&mut command)
}

/// Checks what was opened, and that the recorder has seen something.
fn check(opened: &Opened, among: &str) {
    let table = Table::of_the_page();
    assert!(
        opened.paths.iter().any(|path| path == among),
        "{among} was not seen: {opened:?}"
    );
    let unknown: Vec<_> = opened
        .paths
        .iter()
        .filter(|path| !table.allows(path))
        .collect();
    assert!(
        unknown.is_empty(),
        "files that docs/files.md does not have: {unknown:?}. Read the kernel's function behind each \
         before it is added"
    );
}

#[test]
fn no_file_is_in_both_tables() {
    assert_eq!(Table::of_the_page().contradictions(), [""; 0]);
}

#[test]
fn what_the_doctor_opens_is_known() {
    let opened = isol_trace(&["doctor", "--cpus", "1"]);
    assert!(matches!(opened.status, Some(0 | 1)), "{opened:?}");
    check(&opened, "/proc/sys/kernel/timer_migration");
}

/// With a program that is named while it runs, and has memory of its own mapped and unmapped.
#[test]
#[ignore = "needs root: it loads probes"]
fn what_a_trace_opens_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let program = "i=0; while [ $i -lt 200 ]; do i=$((i + 1)); /bin/true; done";
    let opened = isol_trace(&[
        "record",
        "--cpus",
        "1",
        "--user-stacks",
        "-o",
        log.to_str().unwrap(),
        "--",
        "/bin/sh",
        "-c",
        program,
    ]);
    assert_eq!(opened.status, Some(0), "{opened:?}");
    check(&opened, "/proc/kallsyms");
    let opened = isol_trace(&["explain", log.to_str().unwrap()]);
    check(&opened, log.to_str().unwrap());
}
