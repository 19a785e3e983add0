//! What the tests share: a CPU, a handler, and time spent in user mode.

use std::{
    hint::{black_box, spin_loop},
    io,
    mem::zeroed,
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use task_isolation::{Config, Isolated, OnBreach, Signal, configure, cpus, enter_within, handler};

/// How long a CPU may take to come to rest.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// What is counted by the handler, and whether that isolates the thread again.
pub(crate) static HANDLED: AtomicU32 = AtomicU32::new(0);
pub(crate) static REENTER: AtomicBool = AtomicBool::new(false);

/// Whether the handler was refused that for good the last time.
pub(crate) static REFUSED: AtomicBool = AtomicBool::new(false);

/// Turns of [`turn`] in a millisecond.
static SPEED: AtomicU64 = AtomicU64::new(0);

/// Measures how fast this machine turns, and sets the handler.
pub(crate) fn prepare() -> Result<()> {
    const TURNS: u64 = 2_000_000;
    let start = Instant::now();
    turn(TURNS, &AtomicBool::new(false));
    let taken = u64::try_from(start.elapsed().as_micros())?.max(1);
    SPEED.store(TURNS * 1000 / taken, Ordering::Relaxed);

    // SAFETY: zeros are a valid value: no flag, an empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = on_breach as extern "C" fn(libc::c_int) as *const () as usize;
    // SAFETY: the handler counts and makes a system call that leaves errno alone.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    ensure!(result == 0, io::Error::last_os_error());
    Ok(())
}

extern "C" fn on_breach(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    while REENTER.load(Ordering::Relaxed) {
        match handler::enter() {
            Err(handler::Refusal::Again) => spin_loop(),
            result => {
                REFUSED.store(result.is_err(), Ordering::Relaxed);
                break;
            }
        }
    }
}

/// Binds the thread to the n-th CPU that it can be isolated on.
pub(crate) fn own_cpu(n: usize) -> Result<u32> {
    let cpus = cpus()?;
    let cpu = cpus.iter().nth(n);
    let cpu = cpu.with_context(|| format!("too few CPUs can be isolated: {cpus}"))?;
    bind(&[cpu])?;
    Ok(cpu)
}

/// Binds the thread.
pub(crate) fn bind(cpus: &[u32]) -> Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(usize::try_from(cpu)?);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Isolates the thread on the first CPU, one-shot, with the handler's signal.
pub(crate) fn signalled() -> Result<Isolated> {
    own_cpu(0)?;
    HANDLED.store(0, Ordering::Relaxed);
    configure(&Config::new(OnBreach::Signal(Signal::USR1)))?;
    Ok(enter_within(LIMIT)?)
}

/// How often the handler has run.
pub(crate) fn handled() -> u32 {
    HANDLED.load(Ordering::Relaxed)
}

/// A system call.
pub(crate) fn call() {
    black_box(rustix::process::getppid());
}

/// Stays in user mode for about so long.
pub(crate) fn spin(milliseconds: u64) {
    turn(
        milliseconds * SPEED.load(Ordering::Relaxed),
        &AtomicBool::new(false),
    );
}

/// Turns so often, or until it is told to stop.
pub(crate) fn turn(turns: u64, stop: &AtomicBool) {
    for turn in 0..turns {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        black_box(turn);
    }
}
