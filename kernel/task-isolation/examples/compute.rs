//! A compute loop: isolate, compute, leave, write, repeat.
//!
//! `compute [--cpu N] [--rounds N]`; without `--cpu` on the first CPU that a thread can be isolated on.
//! The exit status is 2 where that is impossible.

use std::{
    env,
    hint::black_box,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    mm::{MlockAllFlags, mlockall},
    thread::{CpuSet, sched_setaffinity},
};
use task_isolation::{Config, End, OnBreach, configure, cpus, enter_within};

/// How long a round tries to put its CPU to rest.
const LIMIT: Duration = Duration::from_secs(2);

/// The points of a round.
const POINTS: u32 = 4_000_000;

/// What was typed.
struct Arguments {
    cpu: Option<u32>,
    rounds: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told where that fails.
            let _ = writeln!(io::stderr(), "compute: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let arguments = arguments()?;
    // The kernel is asked first: where it lacks the feature, that is the answer.
    let isolable = cpus()?;
    let cpu = arguments.cpu.or_else(|| isolable.iter().next()).context(
        "no CPU is fully isolated: boot with nohz_full= and isolcpus=domain,managed_irq,",
    )?;
    pin(cpu)?;
    // A page that is touched first, or has been taken away, would be a breach.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).context("cannot lock the memory")?;
    // Breaches are logged; the first one ends a round's isolation.
    configure(&Config::new(OnBreach::Log))?;

    for round in 1..=arguments.rounds {
        let isolated = enter_within(LIMIT)?;
        let inside = compute(u64::from(round));
        let end = isolated.leave();
        // From here on system calls do no harm.
        let pi = 4.0 * f64::from(inside) / f64::from(POINTS);
        let how = match end {
            End::Undisturbed => "undisturbed",
            End::Broken => "the kernel was entered",
        };
        writeln!(io::stdout(), "round {round} on CPU {cpu}: {pi:.4}, {how}")?;
    }
    Ok(())
}

/// How many of random points in a square are in its circle. No system call, and no memory.
fn compute(seed: u64) -> u32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut inside = 0;
    for _ in 0..POINTS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (x, y) = ((state >> 8) & 0xffff, (state >> 40) & 0xffff);
        inside += u32::from(x * x + y * y < 1 << 32);
    }
    black_box(inside)
}

fn pin(cpu: u32) -> Result<()> {
    let cpu = usize::try_from(cpu)?;
    if cpu >= CpuSet::MAX_CPU {
        bail!("no CPU {cpu}");
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot move to CPU {cpu}"))
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        cpu: None,
        rounds: 5,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u32> {
            let value = words
                .next()
                .with_context(|| format!("{word} takes a number"))?;
            value.parse().with_context(|| format!("no number: {value}"))
        };
        match word.as_str() {
            "--cpu" => arguments.cpu = Some(number()?),
            "--rounds" => arguments.rounds = number()?,
            _ => bail!("usage: compute [--cpu N] [--rounds N]"),
        }
    }
    Ok(arguments)
}
