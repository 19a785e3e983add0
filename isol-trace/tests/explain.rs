//! `explain LOG`: what it tells of a log, and which logs it refuses.

mod program;

use std::{
    fs,
    process::{Command, Output},
};

use program::{told, with_stdin};

/// Strict mode kills a feed: a header, two breaches, the kill, a summary.
const LOG: &str = include_str!("explain/killed.jsonl");

/// What `explain` makes of a log on stdin.
fn explain(log: &str) -> Output {
    with_stdin(&["explain", "-"], log)
}

#[test]
fn a_log_is_told_from_a_file_and_from_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, LOG).unwrap();
    let of_file = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .arg("explain")
        .arg(&path)
        .output()
        .unwrap();
    let (code, stdout, stderr) = told(of_file);
    assert_eq!((code, &*stderr), (Some(0), ""));
    insta::assert_snapshot!(stdout);
    assert_eq!(told(explain(LOG)), (Some(0), stdout, String::new()));
}

#[test]
fn a_log_that_was_cut_short_is_told_as_far_as_it_goes() {
    let whole = told(explain(LOG)).1;
    let end = LOG.trim_end().rfind('\n').unwrap() + 20;
    let (code, stdout, stderr) = told(explain(&LOG[..end]));
    assert_eq!((code, stdout), (Some(0), whole));
    assert_eq!(
        stderr,
        "isol-trace: the log has no summary: it was cut short, or is still being written\n"
    );
}

#[test]
fn a_log_without_kills_says_so() {
    let lines: Vec<_> = LOG
        .lines()
        .filter(|line| !line.contains("\"kill\""))
        .collect();
    let (code, stdout, stderr) = told(explain(&format!("{}\n", lines.join("\n"))));
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(
        stdout,
        "No task was killed or signalled: the log has 2 breaches and no such end.\n"
    );
}

#[test]
fn what_is_no_log_is_refused() {
    let newer = LOG.replacen("isol-trace/1", "isol-trace/2", 1);
    let spoiled = LOG.replacen("\"end\":\"return\"", "\"end\":\"odd\"", 1);
    for (log, expected) in [
        (
            "",
            "this is no log of isol-trace: its first line is no header with the schema isol-trace/1",
        ),
        (
            &*newer,
            "the log has the schema 'isol-trace/2', and this version of isol-trace reads \
             isol-trace/1: use the version that wrote it, or a later one",
        ),
        (&*spoiled, "line 2, column "),
    ] {
        let (code, stdout, stderr) = told(explain(log));
        assert_eq!((code, &*stdout), (Some(2), ""));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let sentence = format!("isol-trace: cannot read the log 'stdin': {expected}");
        assert!(stderr.starts_with(&sentence), "{stderr}");
    }
}
