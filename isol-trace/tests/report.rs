//! `report`: a log that is written in another format.

mod program;

use std::{
    fs,
    process::{Command, Stdio},
};

use program::{told, with_stdin};

/// A header, two breaches, a kill, a summary.
const LOG: &str = include_str!("explain/killed.jsonl");

/// Exit status, stdout and stderr of `report` with a log on stdin.
fn report(log: &str) -> (Option<i32>, String, String) {
    told(with_stdin(&["report", "--format", "csv", "-"], log))
}

#[test]
fn a_log_is_reported_from_stdin_and_from_a_file() {
    let (code, rows, stderr) = report(LOG);
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(rows.lines().count(), 3);
    assert!(
        rows.lines().all(|line| line.split(',').count() >= 30),
        "{rows}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, LOG).unwrap();
    let of_file = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .args(["report", "--format", "csv"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(of_file.stdout).unwrap(), rows);
}

#[test]
fn a_filter_selects_breaches() {
    let first = |filter: &str| {
        let args = ["report", "--format", "csv", "--where", filter, "-"];
        let (code, rows, stderr) = told(with_stdin(&args, LOG));
        assert_eq!(code, Some(0), "{stderr}");
        let seq = |row: &str| row.split(',').next().unwrap_or_default().to_owned();
        rows.lines().skip(1).map(seq).collect::<Vec<_>>()
    };
    let all = first("");
    let [one, other] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(first(&format!("seq:{one}")), [one.as_str()]);
    assert_eq!(first(&format!("-seq:{one}")), [other.as_str()]);
    assert_eq!(first("cause:nmi"), [""; 0]);
    for (filter, expected) in [
        (
            "caus:nmi",
            "at character 1: no filter is called 'caus'; did you mean 'cause'?",
        ),
        (
            "new",
            "'new' needs a baseline to compare with, and there is none here",
        ),
    ] {
        let args = ["report", "--format", "csv", "--where", filter, "-"];
        let (code, rows, stderr) = told(with_stdin(&args, LOG));
        assert_eq!((code, &*rows), (Some(2), ""));
        assert!(
            stderr.contains(expected) && stderr.contains("--where"),
            "{stderr}"
        );
    }
}

#[test]
fn what_a_log_lacks_is_said() {
    let lost = "{\"type\":\"lost\",\"cpu\":3,\"records\":1200,\"mono_ns\":1}\n";
    let mut log = LOG.to_owned();
    let second = log.find('\n').unwrap() + 1;
    log.insert_str(second, lost);
    let (code, rows, stderr) = report(&log);
    assert_eq!((code, rows.lines().count()), (Some(0), 3));
    assert_eq!(
        stderr,
        "isol-trace: 1,200 records found no room in the log, and are not in the report either\n"
    );
    let end = LOG.trim_end().rfind('\n').unwrap() + 20;
    let (code, rows, stderr) = report(LOG.get(..end).unwrap());
    assert_eq!((code, rows.lines().count()), (Some(0), 3));
    assert_eq!(
        stderr,
        "isol-trace: the log has no summary: it was cut short, or is still being written\n"
    );
}

#[test]
fn what_is_no_log_is_refused() {
    let (code, rows, stderr) = report("{\"type\":\"breach\"}\n");
    assert_eq!((code, &*rows), (Some(2), ""));
    assert!(stderr.contains("this is no log of isol-trace"), "{stderr}");
}

/// A full stdout is an error, and a closed one is none.
#[test]
fn stdout_that_takes_no_more_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, LOG).unwrap();
    let run = |stdout: Stdio| {
        Command::new(env!("CARGO_BIN_EXE_isol-trace"))
            .args(["report", "--format", "csv"])
            .arg(&path)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap()
    };
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = run(full.into());
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("isol-trace: cannot write to stdout: No space left"),
        "{said}"
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = run(writer.into());
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}
