//! `tracer.breaches` counts what the tracer causes. It is made to misbehave: system calls are made in
//! its name that interrupt a watched CPU, and that put its own thread there.

#![cfg(target_arch = "x86_64")]
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

mod inject;

use std::{
    fs,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use inject::Stopped;
use serde_json::Value;

/// The CPU that is watched.
const CPU: u32 = 1;

/// How often the tracer interrupts it.
const TIMES: usize = 40;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} has not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The command that the tracer has started: a loop that takes a signal.
fn command_of(tracer: &Child) -> u64 {
    let path = format!("/proc/{0}/task/{0}/children", tracer.id());
    until("the command", || {
        fs::read_to_string(&path)
            .ok()?
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .find(|pid: &u64| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm"));
                name.is_ok_and(|name| name.trim() == "sh")
            })
    })
}

/// Sets how a process is scheduled.
fn schedule(process: u64, policy: i32, priority: i32) {
    let process = libc::pid_t::try_from(process).unwrap();
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the kernel reads the parameters.
    let result = unsafe { libc::sched_setscheduler(process, policy, &raw const parameters) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// What is counted of a log: breaches that the tracer sent, entries of its own threads, and the
/// summary.
fn count(log: &str, tracer: u32) -> (usize, usize, Value) {
    let (mut sent, mut own) = (0, 0);
    let mut summary = Value::Null;
    for line in log.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        match record["type"].as_str() {
            Some("breach") if record["task"]["pid"] == tracer => own += 1,
            Some("breach") => {
                let mut origins = record["origins"].as_array().unwrap().iter();
                sent += usize::from(origins.any(|origin| origin["kind"] == "tracer"));
            }
            Some("summary") => summary = record,
            _ => {}
        }
    }
    (sent, own, summary)
}

#[test]
#[ignore = "needs root: it loads probes"]
fn what_the_tracer_does_to_a_watched_cpu_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut tracer = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .args(["record", "--cpus", &CPU.to_string(), "--ring-size", "16M"])
        .args(["-o", log.to_str().unwrap(), "--"])
        .args(["/bin/sh", "-c", "trap : USR1; while :; do :; done"])
        .spawn()
        .unwrap();
    let command = command_of(&tracer);
    // Its trap is set once it uses time.
    thread::sleep(Duration::from_millis(200));
    let thread = libc::pid_t::try_from(tracer.id()).unwrap();
    // Before all others of its CPU, so that the signals meet it while it runs.
    schedule(command, libc::SCHED_FIFO, 1);
    for _ in 0..TIMES {
        let mut stopped = Stopped::in_a_call(thread);
        let signal = libc::SIGUSR1.unsigned_abs().into();
        let sent = stopped.call(libc::SYS_kill, [command, signal, 0]);
        assert_eq!(sent, 0);
        drop(stopped);
        thread::sleep(Duration::from_millis(5));
    }
    schedule(command, libc::SCHED_OTHER, 0);
    let mut stopped = Stopped::in_a_call(thread);
    for mask in [1 << CPU, 1] {
        assert_eq!(stopped.move_to(mask), 0, "a mask of {mask:#x}");
        for _ in 0..10 {
            stopped.call(libc::SYS_getppid, [0; 3]);
        }
    }
    drop(stopped);
    thread::sleep(Duration::from_millis(50));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&tracer),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let pid = tracer.id();
    tracer.wait().unwrap();
    let (sent, own, summary) = count(&fs::read_to_string(&log).unwrap(), pid);
    let counted = summary["tracer"]["breaches"].as_u64().unwrap();
    let totals = &summary["cpus"][0];
    let unrecorded = totals["lost"].as_u64().unwrap() + totals["filtered"].as_u64().unwrap();
    // Some signals meet the kernel, or come while another one is handled.
    assert!(sent >= TIMES / 2, "{sent} of {TIMES} were seen");
    assert!(own > 0, "its own thread was on the CPU");
    let least = (sent + own) as u64;
    assert!(
        (least..=least + unrecorded).contains(&counted),
        "{counted} counted, {sent} sent and {own} of its own recorded, {unrecorded} without a record"
    );
}
