//! What the demonstration watches: two threads that mean to stay in user mode on isolated CPUs, and
//! a neighbour elsewhere that does not let them.
//!
//! - `packets` computes on the first CPU; now and then it makes a system call, and allocates;
//! - `pricing` computes on the second and does nothing wrong at all;
//! - `neighbour`, on a housekeeping CPU, frees memory (every CPU that runs the program must flush
//!   its TLB) and orders memory (each gets an interrupt);
//! - `logger` wakes up now and then on the second CPU.

use std::{
    env,
    hint::black_box,
    io::{self, Write as _},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, MembarrierCommand, membarrier, sched_setaffinity};

/// More than any threshold of the allocator's: it comes from the kernel and goes back there.
const LARGE: usize = 33 << 20;

/// The bytes of it that are written to.
const TOUCHED: usize = 3 * 4096;

/// Runs until it is killed.
#[must_use]
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told where that fails.
            let _ = writeln!(io::stderr(), "demo-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let cpus: Vec<usize> = env::args()
        .skip(1)
        .map(|argument| {
            argument
                .parse()
                .with_context(|| format!("no CPU `{argument}`"))
        })
        .collect::<Result<_>>()?;
    let &[first, second] = cpus.as_slice() else {
        anyhow::bail!("usage: demo-load CPU CPU");
    };
    membarrier(MembarrierCommand::RegisterPrivateExpedited)?;
    let threads = [
        start("packets", Some(first), packets)?,
        start("pricing", Some(second), || {
            loop {
                compute(Duration::from_secs(1));
            }
        })?,
        start("logger", Some(second), || {
            loop {
                thread::sleep(Duration::from_millis(1700));
                compute(Duration::from_millis(2));
            }
        })?,
        start("neighbour", None, neighbour)?,
    ];
    for thread in threads {
        // They do not end.
        let _ = thread.join();
    }
    Ok(())
}

/// Starts a thread by that name, bound to a CPU where one is named.
fn start(name: &str, cpu: Option<usize>, work: fn()) -> Result<thread::JoinHandle<()>> {
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Some(cpu) = cpu {
                let mut set = CpuSet::new();
                set.set(cpu);
                // Where it cannot be bound the demonstration is only less clear.
                let _ = sched_setaffinity(None, &set);
            }
            work();
        })?;
    Ok(thread)
}

/// Computes in user mode; the clock is read there, too.
fn compute(time: Duration) {
    let until = Instant::now() + time;
    let mut sum = 0_u64;
    while Instant::now() < until {
        for number in 0..20_000_u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(number));
        }
    }
}

/// A hot loop with two habits that it should not have.
fn packets() {
    let mut round = 0_u32;
    loop {
        compute(Duration::from_millis(600));
        black_box(rustix::process::getppid());
        round = round.wrapping_add(1);
        if round.is_multiple_of(3) {
            allocate();
        }
    }
}

/// Takes memory from the kernel, writes to some of it and gives it back.
fn allocate() {
    let mut memory = Vec::with_capacity(LARGE);
    memory.resize(TOUCHED, 1_u8);
    black_box(&memory);
}

/// Works elsewhere, and disturbs every CPU that runs a thread of this program.
fn neighbour() {
    loop {
        thread::sleep(Duration::from_millis(350));
        allocate();
        thread::sleep(Duration::from_millis(350));
        // Registered at the start: it cannot fail, and nothing depends on it.
        let _ = membarrier(MembarrierCommand::PrivateExpedited);
    }
}
