//! A one-shot loop: the thread computes in isolation until an event breaks it, sees to the event, and
//! activates isolation again.
//!
//! `oneshot [--cpu N] [--events N]`; without `--cpu` on the first CPU that a thread can be isolated on.
//! The events come from a timer of its own. The exit status is 2 where isolation is impossible.

use std::{
    env,
    hint::black_box,
    io::{self, Write as _},
    mem::zeroed,
    process::ExitCode,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    mm::{MlockAllFlags, mlockall},
    thread::{CpuSet, sched_setaffinity},
};
use task_isolation::{Config, OnBreach, Signal, configure, cpus, enter_within};

/// How long it tries to put its CPU to rest.
const LIMIT: Duration = Duration::from_secs(2);

/// Between two events, in microseconds.
const INTERVAL: i64 = 200_000;

/// Steps of the computation between two looks at the counters.
const STEPS: u64 = 10_000;

/// Breaches so far, save those by events: counted by the handler of the signal that they lead to.
static BREACHES: AtomicU32 = AtomicU32::new(0);

/// Events so far: what the loop is there for besides computing.
static EVENTS: AtomicU32 = AtomicU32::new(0);

/// What was typed.
struct Arguments {
    cpu: Option<u32>,
    events: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told where that fails.
            let _ = writeln!(io::stderr(), "oneshot: {error:#}");
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
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).context("cannot lock the memory")?;
    handle(libc::SIGUSR1, on_breach)?;
    handle(libc::SIGALRM, on_event)?;
    configure(&Config::new(OnBreach::Signal(Signal::USR1)))?;
    start_timer()?;

    let mut isolated = enter_within(LIMIT)?;
    let (mut seen, mut entries, mut work) = (0, 1_u32, 0_u64);
    while EVENTS.load(Ordering::Relaxed) < arguments.events {
        work = compute(work);
        // Reading counters needs no kernel. Asking it, by `isolated.is_active()`, is no breach either.
        // A signal that comes anyway is a breach that no second signal follows.
        let signals = BREACHES.load(Ordering::Relaxed) + EVENTS.load(Ordering::Relaxed);
        if signals != seen {
            // Isolation has ended underneath: now is the time for system calls, if any are due.
            seen = signals;
            isolated.reenter(LIMIT)?;
            entries += 1;
        }
    }
    drop(isolated);
    let events = EVENTS.load(Ordering::Relaxed);
    writeln!(
        io::stdout(),
        "CPU {cpu}: {events} events, {} other breaches, isolated {entries} times, {work} steps",
        BREACHES.load(Ordering::Relaxed),
    )?;
    Ok(())
}

extern "C" fn on_breach(_signal: libc::c_int) {
    BREACHES.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn on_event(_signal: libc::c_int) {
    EVENTS.fetch_add(1, Ordering::Relaxed);
}

/// No system call, and no memory.
fn compute(done: u64) -> u64 {
    (0..STEPS).fold(done, |sum, _| black_box(sum) + 1)
}

/// Sets the handler of a signal.
fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> Result<()> {
    // SAFETY: zeros are a valid value: no flag, an empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    // SAFETY: the handler only counts.
    let result = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    ensure!(result == 0, io::Error::last_os_error());
    Ok(())
}

/// Has SIGALRM sent again and again. Such a timer is an interrupt of this CPU, and so a breach.
fn start_timer() -> Result<()> {
    let interval = libc::timeval {
        tv_sec: 0,
        tv_usec: INTERVAL,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: the structure is read, and none is written.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    ensure!(result == 0, io::Error::last_os_error());
    Ok(())
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
        events: 5,
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
            "--events" => arguments.events = number()?,
            _ => bail!("usage: oneshot [--cpu N] [--events N]"),
        }
    }
    Ok(arguments)
}
