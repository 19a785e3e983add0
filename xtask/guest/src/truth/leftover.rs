//! Whatever the exit, nothing stays attached.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use super::{
    bench::{Bench, Group},
    log::{Line, for_each},
    sys::{self, BpfObject},
    tracer::{self, Tracer},
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                "leftover_sigint",
                "nothing stays attached after Ctrl-C; the log is whole",
            ),
            (
                "leftover_sigterm",
                "nothing stays attached after SIGTERM; the log is whole",
            ),
            (
                "leftover_sigkill",
                "nothing stays attached after SIGKILL; the log is readable up to its last whole line",
            ),
            (
                "leftover_duration",
                "nothing stays attached after --duration; the log is whole",
            ),
            (
                "leftover_bad_request",
                "a refused request attaches nothing and exits with 2",
            ),
        ],
        run,
    }
}

/// The kernel lets go of programs in its own time.
const PATIENCE: Duration = Duration::from_secs(20);

fn run(bench: &mut Bench) -> Result<()> {
    let before = settled()?;
    for (name, signal) in [
        ("leftover_sigint", libc::SIGINT),
        ("leftover_sigterm", libc::SIGTERM),
        ("leftover_sigkill", libc::SIGKILL),
    ] {
        if bench.wants(name) {
            let outcome = by_signal(bench, before, signal);
            bench.outcome(name, outcome)?;
        }
    }
    if bench.wants("leftover_duration") {
        let outcome = tracer::run(&["--duration", "500ms"]).and_then(|ended| {
            bench.take(&ended, 0, |_| false)?;
            gone(before)
        });
        bench.outcome("leftover_duration", outcome)?;
    }
    if bench.wants("leftover_bad_request") {
        let outcome = refused(before);
        bench.outcome("leftover_bad_request", outcome)?;
    }
    Ok(())
}

fn by_signal(bench: &mut Bench, before: [usize; 3], signal: i32) -> Result<String> {
    let tracer = Tracer::start::<&str>(&[])?;
    let during = settled()?;
    ensure!(
        during > before,
        "an armed tracer holds no BPF objects: {during:?}"
    );
    let ended = tracer.end(signal)?;
    if signal == libc::SIGKILL {
        let mut lines = 0;
        for_each(&ended.log, |_, text| {
            Line::parse(text)?;
            lines += 1;
            Ok(())
        })?;
        ensure!(lines > 0, "the log is empty");
    } else {
        bench.take(&ended, 0, |_| false)?;
    }
    gone(before)
}

fn refused(before: [usize; 3]) -> Result<String> {
    for request in [["--cpus", "4095"], ["--cpus", "x"], ["--duration", "soon"]] {
        let ended = tracer::run(&request)?;
        ensure!(ended.code() == 2, "{request:?} exits with {}", ended.code());
        ensure!(
            ended.complaints().len() > 20,
            "{request:?} is refused without a sentence"
        );
        ensure!(
            !ended.log.exists(),
            "{request:?} leaves a log behind: {}",
            ended.log.display()
        );
    }
    gone(before)
}

/// Programs, maps and links.
fn attached() -> Result<[usize; 3]> {
    Ok([
        sys::bpf_objects(BpfObject::Program)?,
        sys::bpf_objects(BpfObject::Map)?,
        sys::bpf_objects(BpfObject::Link)?,
    ])
}

/// What is there once nothing changes any more: the kernel frees the maps of an earlier run
/// after a grace period.
fn settled() -> Result<[usize; 3]> {
    let start = Instant::now();
    let (mut last, mut same) = (attached()?, 0);
    while same < 5 && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(200));
        let now = attached()?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn gone(before: [usize; 3]) -> Result<String> {
    let start = Instant::now();
    loop {
        let now = attached()?;
        if now == before {
            return Ok(String::new());
        }
        if start.elapsed() > PATIENCE {
            bail!("programs, maps and links: {before:?} before, {now:?} after");
        }
        thread::sleep(Duration::from_millis(100));
    }
}
