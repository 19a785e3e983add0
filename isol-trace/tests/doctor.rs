//! `isol-trace doctor` as a person and as a program see it, on hosts that the tests make up.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

mod tree;

use std::process::{Command, Output};

use isol_trace::doctor::json::SCHEMA;
use serde_json::Value;
use tree::Tree;

fn command(tree: &Tree, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
    command
        .arg("doctor")
        .args(words)
        .env("ISOL_TRACE_ROOT", tree.root());
    command
}

fn doctor(tree: &Tree, words: &[&str]) -> Output {
    command(tree, words).output().unwrap()
}

/// What a doctor that finds something prints, with the root of the host left out.
fn stdout(tree: &Tree, words: &[&str], status: i32) -> String {
    let output = doctor(tree, words);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert_eq!(stderr, "");
    let root = tree.root().to_str().unwrap();
    String::from_utf8(output.stdout).unwrap().replace(root, "")
}

#[test]
fn a_well_isolated_host() {
    insta::assert_snapshot!(stdout(&Tree::of("good"), &[], 0));
}

#[test]
fn a_half_isolated_host() {
    insta::assert_snapshot!(stdout(&Tree::of("half"), &[], 1));
}

#[test]
fn a_kernel_that_cannot_isolate() {
    insta::assert_snapshot!(stdout(&Tree::of("no-entry"), &[], 1));
}

#[test]
fn an_older_host_with_cgroup_v1() {
    insta::assert_snapshot!(stdout(&Tree::of("cgroup-v1"), &[], 1));
}

#[test]
fn a_host_that_is_no_x86() {
    insta::assert_snapshot!(stdout(&Tree::of("arm64"), &[], 0));
}

#[test]
fn every_report_satisfies_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (host, status) in [
        ("good", 0),
        ("half", 1),
        ("cgroup-v1", 1),
        ("arm64", 0),
        ("no-entry", 1),
    ] {
        let text = stdout(&Tree::of(host), &["--json"], status);
        assert_eq!(text.lines().count(), 1, "{host}");
        let report: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&report)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{host}: {errors:#?}");
        let defects = report["counts"]["defect"].as_u64().unwrap();
        assert_eq!(defects > 0, status == 1, "{host}");
        let found = report["findings"].as_array().unwrap().iter();
        let counted = found.filter(|it| it["severity"] == "defect").count();
        assert_eq!(u64::try_from(counted).unwrap(), defects, "{host}");
    }
}

/// A schema that takes anything would show nothing.
#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = stdout(&Tree::of("half"), &["--json"], 1);
    let spoiled = |pointer: &str, value: Value| {
        let mut report: Value = serde_json::from_str(&text).unwrap();
        *report.pointer_mut(pointer).unwrap() = value;
        validator.is_valid(&report)
    };
    assert!(spoiled("/host", "other".into()));
    assert!(!spoiled("/type", "breach".into()));
    assert!(!spoiled("/watched", Value::Array(Vec::new())));
    assert!(!spoiled("/findings/0/severity", "bad".into()));
    assert!(!spoiled("/findings/0/id", "Two Words".into()));
    assert!(!spoiled("/findings/0/remedies", Value::Array(Vec::new())));
}

#[test]
fn the_cpus_can_be_named() {
    let text = stdout(&Tree::of("good"), &["--cpus", "3", "--json"], 0);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["watched"], serde_json::json!([3]));
    assert_eq!(report["housekeeping"], serde_json::json!([0, 1, 2]));
}

#[test]
fn a_host_that_nobody_isolated_is_refused() {
    let folder = "/sys/devices/system/cpu";
    let tree = Tree::of("good")
        .file("/proc/cmdline", "ro quiet")
        .file(&format!("{folder}/nohz_full"), "(null)")
        .file(&format!("{folder}/isolated"), "");
    let output = doctor(&tree, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "isol-trace: no CPU of this host is isolated: boot it with nohz_full=LIST isolcpus=LIST, \
         or name the CPUs to watch with --cpus LIST\n"
    );
    // Named, they can be looked at all the same.
    stdout(&tree, &["--cpus", "2-3"], 1);
}

#[test]
fn a_closed_stdout_leaves_the_verdict() {
    for (host, status) in [("good", 0), ("half", 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let tree = Tree::of(host);
        let output = command(&tree, &[]).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{host}");
        assert!(output.stderr.is_empty(), "{host}");
    }
}

#[test]
fn the_schema_of_the_report_is_printed_and_that_of_the_log_by_default() {
    let printed = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isol-trace"));
        let output = command.arg("schema").args(words).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["doctor"]), SCHEMA);
    assert_eq!(printed(&[]), isol_trace::wire::SCHEMA);
    assert_eq!(printed(&["log"]), isol_trace::wire::SCHEMA);
}

/// Files whose reading disturbs other CPUs, or may.
const FORBIDDEN: [&str; 6] = [
    "/proc/cpuinfo",
    "/proc/sys/kernel/sched_rt_runtime_us",
    "/proc/sys/vm/stat_refresh",
    "/sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq",
    "/sys/devices/system/cpu/cpu2/cpufreq/cpuinfo_cur_freq",
    "/dev/cpu/2/msr",
];

#[test]
fn no_file_is_opened_whose_reading_disturbs_other_cpus() {
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    let mut tree = Tree::of("good");
    for path in FORBIDDEN {
        tree = tree.file(path, "1");
    }
    let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let opened = || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&watch, &mut buffer);
        std::iter::from_fn(|| reader.next().ok().map(|_| ())).count()
    };
    for path in FORBIDDEN {
        add_watch(&watch, tree.path(path), WatchFlags::OPEN).unwrap();
    }
    stdout(&tree, &[], 0);
    assert_eq!(opened(), 0);
    // The watch works.
    std::fs::read(tree.path("/proc/cpuinfo")).unwrap();
    assert_eq!(opened(), 1);
}
