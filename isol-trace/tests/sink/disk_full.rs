//! A log on a disk that fills: whole up to its last line, on real files.

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    process::{Command, Output},
};

use crate::samples;
use isol_trace::{
    consume::{Consumer as _, json::JsonLines},
    event::model::Event,
    sink::LogFile,
};

/// Names the log to a test that runs again as a process of its own, to write it there.
const LOG: &str = "ISOL_TRACE_TEST_LOG";

/// Runs this program's test `name` again in `shell`, whose `$0` and `$@` start it.
fn run_again(name: &str, shell: &[&str], log: &Path) -> Output {
    let (program, arguments) = shell.split_first().expect("a command");
    Command::new(program)
        .args(arguments)
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(LOG, log)
        .output()
        .expect("every Linux has sh, and util-linux unshare")
}

/// In that process: writes the log until there is no room, says how that ended, and is true.
fn ran_again() -> bool {
    let Some(path) = env::var_os(LOG) else {
        return false;
    };
    let file = LogFile::create(Path::new(&path)).expect("a file");
    let mut log = JsonLines::with_anchor(file, samples::anchor());
    let breach = Event::Breach(Box::new(samples::busy_breach()));
    let error = (0..1_000_000)
        .find_map(|_| {
            log.event(&breach);
            log.take_error()
        })
        .expect("the file has a limit");
    let _ = writeln!(io::stdout(), "ended: {:?}", error.kind());
    true
}

/// Every line of the log is whole, and the log is not empty.
fn assert_whole(log: &[u8], limit: usize) {
    let text = std::str::from_utf8(log).expect("a log is UTF-8");
    assert!(text.ends_with('\n'), "the log ends in a line");
    let line = samples::line(&Event::Breach(Box::new(samples::busy_breach())));
    assert!(text.lines().all(|written| written == line));
    // The torn line is gone, and no more than that.
    assert!(
        log.len() <= limit && log.len() + line.len() + 1 > limit,
        "{}",
        log.len()
    );
}

#[test]
fn a_file_at_its_size_limit_is_whole() {
    if ran_again() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"";
    let name = "disk_full::a_file_at_its_size_limit_is_whole";
    let output = run_again(name, &["sh", "-c", script], &path);
    let said = String::from_utf8_lossy(&output.stdout);
    let ended = format!("ended: {:?}", io::ErrorKind::FileTooLarge);
    assert!(said.contains(&ended), "{output:?}");
    let log = fs::read(&path).expect("the log");
    // POSIX counts in blocks of 512 bytes, bash in 1024.
    let block = if log.len() > 200 * 512 { 1024 } else { 512 };
    assert_whole(&log, 200 * block);
}

#[test]
#[ignore = "mounts a file system: needs root"]
fn a_full_file_system_leaves_a_whole_log() {
    if ran_again() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let script = format!(
        "mount -t tmpfs -o size=128k none '{0}' && \"$0\" \"$@\" && cat '{0}/log' >&2",
        folder.path().display(),
    );
    let name = "disk_full::a_full_file_system_leaves_a_whole_log";
    let output = run_again(name, &["unshare", "--mount", "sh", "-c", &script], &path);
    let said = String::from_utf8_lossy(&output.stdout);
    let ended = format!("ended: {:?}", io::ErrorKind::StorageFull);
    assert!(said.contains(&ended), "{output:?}");
    assert_whole(&output.stderr, 128 * 1024);
}
