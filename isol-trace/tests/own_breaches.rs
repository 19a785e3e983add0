//! `tracer.breaches` counts what the tracer causes. It is made to misbehave: system calls are made in
//! its name that interrupt a watched CPU, and that put its own thread there.

#![cfg(target_arch = "x86_64")]
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

mod inject;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use inject::Stopped;
use serde_json::Value;

/// The CPU that is watched.
const CPU: u32 = 1;

/// Whose threads are stopped and moved.
static TRACERS: Mutex<()> = Mutex::new(());

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

/// A child of a process, by its name.
fn child_of(process: u32, name: &str) -> u32 {
    let path = format!("/proc/{process}/task/{process}/children");
    until(name, || {
        fs::read_to_string(&path)
            .ok()?
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .find(|pid: &u32| {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
                comm.is_ok_and(|comm| comm.trim() == name)
            })
    })
}

/// The number that a process has in its own PID namespace.
fn number_inside(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let last = numbers.unwrap().split_whitespace().last();
    last.unwrap().parse().unwrap()
}

/// Sets how a process is scheduled.
fn schedule(process: u32, policy: i32, priority: i32) {
    let process = libc::pid_t::try_from(process).unwrap();
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the kernel reads the parameters.
    let result = unsafe { libc::sched_setscheduler(process, policy, &raw const parameters) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// What is counted of a log: breaches that the tracer of this name sent, entries of its own threads, and the
/// summary.
fn count(log: &str, tracer: &str) -> (usize, usize, Value) {
    let (mut sent, mut own) = (0, 0);
    let mut summary = Value::Null;
    let records = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let records: Vec<Value> = records.collect();
    // The command has that name, too, until it executes its program.
    let mut backwards = records.iter().rev();
    let of_main_thread = backwards.find(|record| record["task"]["comm"] == tracer);
    let pid = of_main_thread.map(|record| &record["task"]["pid"]);
    for record in &records {
        match record["type"].as_str() {
            Some("breach") if Some(&record["task"]["pid"]) == pid => own += 1,
            Some("breach") => {
                let mut origins = record["origins"].as_array().unwrap().iter();
                sent += usize::from(origins.any(|origin| origin["kind"] == "tracer"));
            }
            Some("summary") => summary = record.clone(),
            _ => {}
        }
    }
    (sent, own, summary)
}

#[test]
#[ignore = "needs root: it loads probes"]
fn what_the_tracer_does_to_a_watched_cpu_is_counted() {
    misbehave(|program| Command::new(program), |tracer, _| tracer.id());
}

/// There it has another number than the probes see.
#[test]
#[ignore = "needs root: it loads probes"]
fn it_is_counted_in_another_pid_namespace_too() {
    let unshared = |program: &Path| {
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(program);
        command
    };
    misbehave(unshared, |unshare, name| child_of(unshare.id(), name));
}

/// Has a tracer misbehave that is started so, and compares. `number` finds its number here, by its name.
fn misbehave(command: impl FnOnce(&Path) -> Command, number: impl FnOnce(&Child, &str) -> u32) {
    let _one_at_a_time = TRACERS.lock();
    let folder = tempfile::Builder::new().prefix("").tempdir().unwrap();
    // A name of its own tells it from all others in the log. The test may itself be in another PID namespace, where it
    // does not know the tracer's number there.
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let program = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_isol-trace"), &program).unwrap();
    let log = folder.path().join("log");
    let mut child = command(&program)
        .args(["record", "--cpus", &CPU.to_string(), "--ring-size", "16M"])
        .args(["-o", log.to_str().unwrap(), "--"])
        .args(["/bin/sh", "-c", "trap : USR1; while :; do :; done"])
        .spawn()
        .unwrap();
    let tracer = number(&child, name);
    let command = child_of(tracer, "sh");
    let inside = number_inside(command);
    // Its trap is set once it uses time.
    thread::sleep(Duration::from_millis(200));
    let thread = libc::pid_t::try_from(tracer).unwrap();
    // Before all others of its CPU, so that the signals meet it while it runs.
    schedule(command, libc::SCHED_FIFO, 1);
    for _ in 0..TIMES {
        let mut stopped = Stopped::in_a_call(thread);
        let signal = libc::SIGUSR1.unsigned_abs().into();
        let sent = stopped.call(libc::SYS_kill, [inside, signal, 0]);
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
        rustix::process::Pid::from_raw(thread).unwrap(),
        rustix::process::Signal::INT,
    )
    .unwrap();
    child.wait().unwrap();
    let (sent, own, summary) = count(&fs::read_to_string(&log).unwrap(), name);
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
