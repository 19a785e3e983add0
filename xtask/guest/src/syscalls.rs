//! A loop of the cheapest system call, pinned to a CPU and timed in short batches.
//!
//! On a host, and in a guest (`syscall-loop`), where under an emulator that counts instructions a
//! nanosecond of the clock is one instruction.

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    process::getppid,
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// How to loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The CPU.
    pub cpu: usize,
    /// Batches.
    pub batches: usize,
    /// Calls of a batch.
    pub calls: u32,
    /// Between two batches: the time in which a tracer empties its ring.
    pub pause: Duration,
}

/// What one batch took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// By the clock on the wall, nanoseconds a call.
    pub wall_ns: f64,
    /// By the thread's own clock, which stands still while another task has the CPU.
    pub thread_ns: f64,
}

/// Binds the calling thread to one CPU.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// Nanoseconds of this thread's own clock.
fn thread_ns() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// Loops on the calling thread, which is bound to the CPU from then on.
pub fn run(shape: &Shape) -> Result<Vec<Batch>> {
    pin(shape.cpu)?;
    let calls = f64::from(shape.calls);
    let mut batches = Vec::with_capacity(shape.batches);
    for _ in 0..shape.batches {
        thread::sleep(shape.pause);
        let of_thread = thread_ns();
        let of_wall = Instant::now();
        for _ in 0..shape.calls {
            let _ = getppid();
        }
        let wall_ns = of_wall.elapsed().as_nanos() as f64 / calls;
        let thread_ns = (thread_ns() - of_thread) / calls;
        batches.push(Batch { wall_ns, thread_ns });
    }
    Ok(batches)
}

/// A paced loop is even over this time.
const SLICE: Duration = Duration::from_micros(200);

/// Calls at `rate` a second, or as fast as it goes, for `time`; returns how many calls there were.
///
/// What is missed while another task has the CPU is not made up for: no moment is faster than `rate`.
pub fn paced(cpu: usize, rate: Option<u32>, time: Duration) -> Result<u64> {
    pin(cpu)?;
    let slice = rate.map_or(1000, |rate| {
        let calls = u128::from(rate) * SLICE.as_nanos() / 1_000_000_000;
        u64::try_from(calls).unwrap_or(u64::MAX)
    });
    let end = Instant::now() + time;
    let mut calls = 0;
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok(calls);
        }
        for _ in 0..slice {
            let _ = getppid();
        }
        calls += slice;
        while rate.is_some() && begin.elapsed() < SLICE {
            std::hint::spin_loop();
        }
    }
}

/// `syscall-loop CPU BATCHES CALLS`: prints the fewest nanoseconds a call, to a tenth.
#[must_use]
pub fn main() -> ExitCode {
    match from_arguments() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told where that fails.
            let _ = writeln!(io::stderr(), "syscall-loop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn from_arguments() -> Result<()> {
    let numbers: Vec<u32> = env::args()
        .skip(1)
        .map(|argument| {
            argument
                .parse()
                .with_context(|| format!("`{argument}` is no number"))
        })
        .collect::<Result<_>>()?;
    let &[cpu, batches, calls] = numbers.as_slice() else {
        anyhow::bail!("usage: syscall-loop CPU BATCHES CALLS");
    };
    let batches = run(&Shape {
        cpu: cpu as usize,
        batches: batches as usize,
        calls,
        pause: Duration::from_millis(1),
    })?;
    let mut all: Vec<f64> = batches.iter().map(|batch| batch.wall_ns).collect();
    all.sort_by(f64::total_cmp);
    let best = all.first().context("no batch")?;
    let median = all.get(all.len() / 2).context("no batch")?;
    writeln!(io::stdout(), "{best:.1} {median:.1}")?;
    Ok(())
}
