//! What is done to the watched CPUs, and by whom.

use std::{
    env, fs,
    os::fd::OwnedFd,
    process::Command,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::truth::{
    bench::Bench,
    log::{Breach, Growing, Log, Origin},
    sys::{self, PerfAttr},
    tracer::Tracer,
    window::Window,
};

/// Calls of a burst.
pub(super) const BURST: usize = 200;
/// Calls of each of two senders.
pub(super) const EACH: usize = 100;
/// Times that a static key is flipped on and off.
const FLIPS: usize = 5;
/// How long a thread waits before it calls again.
const PACE: Duration = Duration::from_millis(200);
/// How long that may take; emulated machines are slow.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pages that a thread unmaps, one by one.
pub(super) const UNMAPPED: usize = 20;

const SCHEDSTATS: &str = "/proc/sys/kernel/sched_schedstats";

/// What was done when, and by whom.
pub(super) struct Scenario {
    pub(super) window: Window,
    /// Threads, or the process where it is another one.
    pub(super) threads: Vec<u32>,
}

impl Scenario {
    fn around(bench: &Bench, does: impl FnOnce() -> Result<Vec<u32>>) -> Result<Self> {
        let (window, threads) = Window::around(&bench.guest, does)?;
        Ok(Self { window, threads })
    }

    /// Origins of the calls that a CPU had in this time: of those that came in a later interrupt of an
    /// entry that a call began, what ran then tells.
    pub(super) fn origins<'a>(&self, log: &'a Log, cpu: u32) -> Result<Vec<&'a Origin>> {
        let calls = |breach: &&&Breach| breach.cause.kind.starts_with("call_function");
        let breaches = self.window.breaches(log, cpu);
        ensure!(
            breaches.iter().all(|one| one.activity_dropped == 0),
            "activities found no room"
        );
        Ok(breaches
            .iter()
            .filter(calls)
            .flat_map(|breach| {
                let later = breach.activity.iter().filter(|item| item.kind == "csd");
                breach
                    .origins
                    .iter()
                    .chain(later.filter_map(|item| item.origin.as_ref()))
            })
            .collect())
    }
}

/// An event of a CPU, each change of which calls that CPU once.
struct Switch(OwnedFd);

impl Switch {
    fn open(cpu: u32) -> Result<Self> {
        let attr = PerfAttr {
            kind: sys::PERF_TYPE_SOFTWARE,
            config: sys::PERF_COUNT_SW_DUMMY,
            flags: 1,
            ..PerfAttr::default()
        };
        let event = sys::perf_event(&attr, -1, i32::try_from(cpu)?).context("perf_event_open")?;
        Ok(Self(event))
    }

    fn flip(&self, times: usize) -> Result<()> {
        for time in 0..times {
            let request = if time % 2 == 0 {
                sys::PERF_ENABLE
            } else {
                sys::PERF_DISABLE
            };
            sys::ioctl(&self.0, request, 0)?;
        }
        Ok(())
    }
}

/// One thread calls a CPU again and again.
pub(super) fn burst(bench: &Bench, cpu: u32) -> Result<Scenario> {
    let event = Switch::open(cpu)?;
    Scenario::around(bench, || {
        event.flip(BURST)?;
        Ok(vec![sys::thread_id()])
    })
}

/// One thread calls a CPU now and then, until the log has an origin that tells what is asked of it.
pub(super) fn paced(
    bench: &Bench,
    tracer: &Tracer,
    cpu: u32,
    tells: fn(&Origin) -> bool,
) -> Result<Scenario> {
    let event = Switch::open(cpu)?;
    let mut log = Growing::open(tracer.log())?;
    while_spinning(&[cpu], || {
        Scenario::around(bench, || {
            let start = Instant::now();
            let mut is_told = false;
            while !is_told && start.elapsed() < PATIENCE {
                event.flip(2)?;
                thread::sleep(PACE);
                log.breaches(|breach| is_told |= breach.origins.iter().any(tells))?;
            }
            Ok(vec![sys::thread_id()])
        })
    })
}

/// Two threads on two CPUs call a CPU at once.
pub(super) fn two_senders(bench: &Bench, cpu: u32) -> Result<Scenario> {
    let events = [Switch::open(cpu)?, Switch::open(cpu)?];
    Scenario::around(bench, || {
        together(&two_places(bench)?, |sender| events[sender].flip(EACH))
    })
}

/// A process calls a CPU and ends. The tracer does not run before it is gone.
pub(super) fn exited(bench: &Bench, tracer: &Tracer, cpu: u32) -> Result<Scenario> {
    Scenario::around(bench, || {
        tracer.signal(libc::SIGSTOP)?;
        let child = flip_in_child(cpu);
        tracer.signal(libc::SIGCONT)?;
        Ok(vec![child?])
    })
}

fn flip_in_child(cpu: u32) -> Result<u32> {
    in_child(&["flip", &cpu.to_string()])
}

/// Has a process do something and waits for its end. Gives its number.
pub(super) fn in_child(command: &[&str]) -> Result<u32> {
    let mut child = Command::new(env::current_exe()?)
        .arg("command")
        .args(command)
        .spawn()?;
    let pid = child.id();
    ensure!(child.wait()?.success(), "the child failed");
    Ok(pid)
}

/// What the child does.
pub fn flip_once(cpu: u32) -> Result<()> {
    Switch::open(cpu)?.flip(2)
}

/// Every CPU is called, by one thread.
pub(super) fn multicast(bench: &Bench) -> Result<Scenario> {
    // Once beforehand: what it brings about the first time is not of this test.
    fs::write(SCHEDSTATS, "1")?;
    fs::write(SCHEDSTATS, "0")?;
    Scenario::around(bench, || {
        for _ in 0..FLIPS {
            fs::write(SCHEDSTATS, "1")?;
            fs::write(SCHEDSTATS, "0")?;
        }
        Ok(vec![sys::thread_id()])
    })
}

/// Two threads on these CPUs call both watched ones at once: on one CPU by the same csds in turn.
pub(super) fn membarriers(bench: &Bench, places: &[u32]) -> Result<Scenario> {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)?;
    while_spinning(&bench.guest.watched, || {
        Scenario::around(bench, || {
            together(places, |_sender| {
                for _ in 0..EACH {
                    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)?;
                }
                Ok(())
            })
        })
    })
}

/// A thread on a watched CPU unmaps memory of which another watched CPU knows.
pub(super) fn unmap_on(bench: &Bench, sender: u32, receiver: u32) -> Result<Scenario> {
    while_spinning(&[receiver], || {
        Scenario::around(bench, || {
            together(&[sender], |_sender| {
                for _ in 0..UNMAPPED {
                    let pages = sys::Pages::private(1)?;
                    pages.write(0);
                    pages.unmap(0);
                }
                Ok(())
            })
        })
    })
}

fn membarrier(command: i32) -> Result<()> {
    // SAFETY: plain numbers.
    sys::check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
        .context("membarrier")?;
    Ok(())
}

/// The first two housekeeping CPUs.
pub(super) fn two_places(bench: &Bench) -> Result<[u32; 2]> {
    match *bench.guest.housekeeping {
        [first, second, ..] => Ok([first, second]),
        _ => anyhow::bail!("two senders need two housekeeping CPUs"),
    }
}

/// A thread on each of these CPUs does something, all at once. Gives the threads.
fn together(places: &[u32], does: impl Fn(usize) -> Result<()> + Sync) -> Result<Vec<u32>> {
    let start = Barrier::new(places.len());
    let (does, start) = (&does, &start);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(places)
            .map(|(number, &place)| {
                scope.spawn(move || {
                    let pinned = sys::pin(0, &[place]);
                    start.wait();
                    pinned?;
                    does(number)?;
                    Ok(sys::thread_id())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_panic| anyhow::anyhow!("a thread"))?
            })
            .collect()
    })
}

/// Does something while threads of this process spin on these CPUs in user mode.
fn while_spinning<R>(cpus: &[u32], does: impl FnOnce() -> Result<R>) -> Result<R> {
    let (there, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for &cpu in cpus {
            let (there, stop) = (&there, &stop);
            scope.spawn(move || {
                let pinned = sys::pin(0, &[cpu]);
                there.fetch_add(1, Ordering::Release);
                while pinned.is_ok() && !stop.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
            });
        }
        while there.load(Ordering::Acquire) < cpus.len() {
            thread::yield_now();
        }
        let result = does();
        stop.store(true, Ordering::Release);
        result
    })
}
