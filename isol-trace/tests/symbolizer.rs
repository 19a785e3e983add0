//! The process that reads programs' files, as the tracer starts it: what it may, and what is left of it.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod attributor;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use attributor::with_user_symbols;
use isol_trace::host::cpu_list::CpuSet;

/// The symbolizers that this process has started.
fn children() -> Vec<PathBuf> {
    let own = std::process::id().to_string();
    let all = fs::read_dir("/proc").expect("every Linux has it");
    all.filter_map(|it| Some(it.ok()?.path()))
        .filter(|path| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let parent = field(path, "PPid:");
            line.ends_with(b"\0__symbolizer\0") && parent.as_ref() == Some(&own)
        })
        .collect()
}

/// A line of a `status` file.
fn field(process: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(process.join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// All in one test: there is one symbolizer for each attributor of this process.
#[test]
fn it_has_no_rights_and_nothing_of_the_tracers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("what is not its business");
    let mut attributor = with_user_symbols();
    assert_eq!(attributor.warnings(), Vec::<String>::new());
    let found = children();
    let [child] = &found[..] else {
        panic!("{found:?}")
    };
    for (name, expected) in [
        ("CapEff:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
        ("CapInh:", "0000000000000000"),
        ("CapAmb:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
        ("THP_enabled:", "0"),
        ("Threads:", "1"),
    ] {
        assert_eq!(field(child, name).as_deref(), Some(expected), "{name}");
    }
    if field(Path::new("/proc/self"), "Uid:").is_some_and(|it| it.starts_with('0')) {
        assert_eq!(field(child, "CapBnd:").as_deref(), Some("0000000000000000"));
        // Nobody else may look at it.
        let open: Vec<_> = fs::read_dir(child.join("fd"))
            .expect("we are root")
            .map(|it| fs::read_link(it.expect("a descriptor").path()).expect("it is open"))
            .collect();
        assert_eq!(open.len(), 3, "{open:?}");
    }
    let limits = fs::read_to_string(child.join("limits")).expect("it lives");
    for (limit, value) in [
        ("Max data size", "268435456"),
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max processes", "0"),
        ("Max open files", "64"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(limit));
        let line = line.expect("such a limit");
        let words: Vec<_> = line[limit.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [value, value], "{line}");
    }
    let score = fs::read_to_string(child.join("oom_score_adj")).expect("it lives");
    assert_eq!(score.trim(), "1000");
    let policy = || {
        let stat = fs::read_to_string(child.join("stat")).expect("it lives");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        // proc_pid_stat(5) numbers from 1, and two fields come before.
        fields.split_whitespace().nth(41 - 3).map(str::to_owned)
    };
    assert_eq!(
        policy().as_deref(),
        Some("0"),
        "as others until the trace begins"
    );
    attributor.prepare(&CpuSet::new());
    // SCHED_IDLE of sched(7).
    assert_eq!(policy().as_deref(), Some("5"));
    drop(attributor);
    let begun = std::time::Instant::now();
    while field(child, "State:").is_some() {
        assert!(
            begun.elapsed().as_secs() < 60,
            "it does not end with the tracer"
        );
        std::thread::yield_now();
    }
    drop(listener);
}

/// Whoever types the hidden word gets a sentence.
#[test]
fn it_is_not_for_people() {
    let output = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .arg("__symbolizer")
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is started by isol-trace itself"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
