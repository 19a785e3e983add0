use std::path::Path;

use super::*;
use crate::{
    cli::value,
    host::tests::{Tree, recorded},
};

fn args() -> RecordArgs {
    RecordArgs::default()
}

fn record(args: RecordArgs, kind: &str) -> Result<RecordPlan, PlanError> {
    RecordPlan::new(
        args,
        &recorded(kind),
        Some(OsStr::new("/bin:/usr/bin")),
        false,
    )
}

#[test]
fn a_plan_holds_what_was_asked_for() {
    let plan = record(
        RecordArgs {
            watch: WatchArgs {
                cpus: None,
                pid: vec![Pid(147), Pid(147)],
                comm: vec![
                    value::comm("b").unwrap(),
                    value::comm("a").unwrap(),
                    value::comm("b").unwrap(),
                ],
                user_stacks: true,
                symbol_memory: value::symbol_memory("1G").unwrap(),
                debug_dir: vec!["/proc/self".into()],
            },
            duration: Some(Duration::from_secs(1)),
            command: vec!["cat".into(), "x".into()],
            ..args()
        },
        "nohz-full",
    )
    .unwrap();
    assert_eq!(plan.trace.watched.to_string(), "1-2");
    assert_eq!(plan.trace.housekeeping.to_string(), "0,3");
    assert_eq!(plan.trace.pids, [Pid(147)]);
    let comms: Vec<_> = plan.trace.comms.iter().map(Comm::as_str).collect();
    assert_eq!(comms, ["a", "b"]);
    assert_eq!(plan.trace.possible_cpus, 4);
    assert_eq!(plan.trace.ring_bytes, 1 << 20);
    assert!(plan.trace.user_stacks);
    assert_eq!(plan.trace.symbol_memory, 1 << 30);
    assert_eq!(plan.trace.debug_dirs, [Path::new("/proc/self")]);
    assert!(matches!(plan.output, Output::Stdout));
    assert_eq!(plan.command.unwrap().words(), ["cat", "x"]);
}

#[test]
fn filters_are_as_many_as_the_programs_hold() {
    let comms = |count: usize| -> Vec<_> {
        let names = (0..count).map(|number| format!("n{number}"));
        names.map(|name| value::comm(&name).unwrap()).collect()
    };
    let plan = |count| {
        let watch = WatchArgs {
            // Repeating one does not count.
            comm: [comms(count), comms(count)].concat(),
            ..WatchArgs::default()
        };
        record(RecordArgs { watch, ..args() }, "nohz-full")
    };
    assert_eq!(plan(MAX_FILTERS).unwrap().trace.comms.len(), MAX_FILTERS);
    assert!(matches!(
        plan(MAX_FILTERS + 1),
        Err(PlanError::Filters {
            option: "--comm",
            given: 257
        })
    ));
}

#[test]
fn detection_is_per_cpu() {
    let plan = record(args(), "isolated-partition").unwrap();
    let words = |has_user_exit| -> Vec<_> {
        let found = plan.trace.detection(has_user_exit);
        found
            .into_iter()
            .map(|(cpu, how)| (cpu.0, how.word()))
            .collect()
    };
    assert_eq!(
        words(true),
        [(1, "context-tracking"), (2, "vectors"), (3, "vectors")]
    );
    assert_eq!(
        words(false),
        [(1, "vectors"), (2, "vectors"), (3, "vectors")]
    );
}

#[test]
fn what_was_named_is_checked_before_what_the_host_allows() {
    let missing = RecordArgs {
        watch: WatchArgs {
            cpus: Some("9".parse().unwrap()),
            ..WatchArgs::default()
        },
        ..args()
    };
    assert!(matches!(
        record(missing, "unprivileged"),
        Err(PlanError::Watched(_))
    ));
    let no_command = RecordArgs {
        command: vec!["no-such-program-anywhere".into()],
        ..args()
    };
    assert!(matches!(
        record(no_command, "unprivileged"),
        Err(PlanError::Command(_))
    ));
    let no_process = RecordArgs {
        watch: WatchArgs {
            pid: vec![Pid(99)],
            ..WatchArgs::default()
        },
        ..args()
    };
    assert!(matches!(
        record(no_process, "unprivileged"),
        Err(PlanError::Process(_))
    ));
    assert!(matches!(
        record(args(), "unprivileged"),
        Err(PlanError::Privilege(_))
    ));
    assert!(matches!(
        record(args(), "no-btf"),
        Err(PlanError::Kernel(_))
    ));
}

#[test]
fn the_log_is_not_created_for_a_plan_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("log");
    let with_output = RecordArgs {
        output: Some(output.clone()),
        ..args()
    };
    record(with_output.clone(), "unprivileged").unwrap_err();
    assert!(!output.exists());
    let plan = record(with_output, "nohz-full").unwrap();
    assert!(output.exists());
    drop(plan);
    assert!(!output.exists(), "nothing was recorded: nothing is left");
}

#[test]
fn top_wants_a_terminal() {
    let plan = |kind, terminal| TopPlan::new(TopArgs::default(), &recorded(kind), terminal);
    assert!(matches!(
        plan("nohz-full", false),
        Err(PlanError::NoTerminal)
    ));
    assert!(matches!(
        plan("unprivileged", true),
        Err(PlanError::Privilege(_))
    ));
    assert_eq!(
        plan("nohz-full", true).unwrap().trace.watched.to_string(),
        "1-2"
    );
}

#[test]
fn a_process_is_watched_where_it_may_run() {
    let tree = |allowed: &str| {
        Tree::new()
            .file(
                "/proc/7/status",
                &format!("Name:\tx\nCpus_allowed_list:\t{allowed}\n"),
            )
            .file("/proc/9/status", "Name:\ty\nCpus_allowed_list:\t3\n")
            .file("/sys/devices/system/cpu/online", "0-3\n")
            .file("/sys/devices/system/cpu/present", "0-3\n")
            .file("/sys/devices/system/cpu/possible", "0-3\n")
            .file("/sys/devices/system/cpu/isolated", "1-3\n")
            .file("/sys/devices/system/cpu/nohz_full", "1-3\n")
    };
    let watched = |allowed: &str, pids: &[u32]| {
        let pids: Vec<_> = pids.iter().copied().map(Pid).collect();
        let tree = tree(allowed);
        let found = tree.host().watched_of(&pids);
        found
            .map(|found| {
                let (watched, elsewhere) = found.unwrap();
                (watched.to_string(), elsewhere.to_string())
            })
            .map_err(|error| error.to_string())
    };
    let cpus = |watched: &str, elsewhere: &str| Ok((watched.to_owned(), elsewhere.to_owned()));
    assert_eq!(watched("1-2", &[7]), cpus("1-2", ""));
    assert_eq!(watched("0-1,64", &[7]), cpus("1", "0"));
    assert_eq!(watched("1", &[7, 9]), cpus("1,3", ""));
    assert_eq!(
        watched("0", &[7]),
        Err(
            "--pid: the process may run on CPU 0, which is not isolated, or is offline: pin it to an \
             isolated CPU, as with `taskset -apc 1-3 PID`, or name the CPUs to watch with --cpus LIST"
                .to_owned()
        )
    );
}

#[test]
fn a_debug_directory_is_there() {
    let watch = WatchArgs {
        debug_dir: vec!["/proc/self/exe".into()],
        ..WatchArgs::default()
    };
    let plan = record(RecordArgs { watch, ..args() }, "nohz-full");
    let error = plan.unwrap_err();
    assert!(matches!(error, PlanError::DebugDir(_)));
    assert!(
        error
            .to_string()
            .starts_with("--debug-dir /proc/self/exe: there is no such directory")
    );
}
