//! A victim that goes on after breaches of every kind.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use isol_trace_common::config::isolation::LEAVE;

use super::section::{configure, enter, handle};
use crate::truth::sys;

/// `TASK_ISOLATION_PERSISTENT`.
const PERSISTENT: u32 = 1;

/// Pages that are touched for the first time, one a turn, and that a sibling unmaps.
const PAGES: usize = 64;

/// Does a bit of everything while isolated, on the CPU and with the turns that the environment names.
pub(super) fn run() -> Result<()> {
    let cpus = env::var("TRUTH_CPUS").context("TRUTH_CPUS")?;
    let (cpu, helper) = cpus.split_once(' ').context("two CPUs")?;
    let (cpu, helper): (u32, u32) = (cpu.parse()?, helper.parse()?);
    let turns: usize = env::var("TRUTH_TURNS")?.parse()?;
    for signal in [libc::SIGUSR1, libc::SIGALRM, libc::SIGTRAP] {
        handle(signal)?;
    }
    sys::pin(0, &[cpu])?;
    let timer = sys::ThreadTimer::create(libc::SIGALRM)?;
    let sibling = Sibling::start(helper);
    configure(0, PERSISTENT, 0)?;
    enter()?;
    for turn in 0..turns {
        let pages = Arc::new(sys::Pages::private(PAGES)?);
        sys::getppid();
        pages.write(turn % PAGES);
        sibling.unmap(&pages, turn % PAGES);
        sys::kill(std::process::id(), libc::SIGUSR1)?;
        breakpoint();
        timer.arm(Duration::from_micros(300))?;
        sys::spin(Duration::from_millis(1));
        if turn % 8 == 0 {
            thread::sleep(Duration::from_millis(1));
            fork()?;
        }
    }
    sys::section(LEAVE);
    Ok(())
}

/// `int3`, whose signal has a handler.
fn breakpoint() {
    // SAFETY: the handler returns behind the instruction.
    unsafe { core::arch::asm!("int3") };
}

/// Another task runs on this CPU, and ends.
fn fork() -> Result<()> {
    // SAFETY: the child only ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: does not return.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the pointer lives.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    ensure!(
        waited == child && status == 0,
        "the child ended with {status:#x}"
    );
    Ok(())
}

/// A thread on another CPU that takes pages away from this one.
struct Sibling {
    shared: Arc<Shared>,
}

struct Shared {
    page: std::sync::Mutex<Option<(Arc<sys::Pages>, usize)>>,
    asked: AtomicU32,
    done: AtomicU32,
    over: AtomicBool,
}

impl Sibling {
    fn start(cpu: u32) -> Self {
        let shared = Arc::new(Shared {
            page: std::sync::Mutex::new(None),
            asked: AtomicU32::new(0),
            done: AtomicU32::new(0),
            over: AtomicBool::new(false),
        });
        let its = shared.clone();
        thread::spawn(move || {
            // Where it cannot be moved it works all the same.
            let _ = sys::pin(0, &[cpu]);
            while !its.over.load(Ordering::Acquire) {
                if its.asked.load(Ordering::Acquire) == its.done.load(Ordering::Acquire) {
                    thread::sleep(Duration::from_micros(50));
                    continue;
                }
                if let Ok(mut page) = its.page.lock()
                    && let Some((pages, index)) = page.take()
                {
                    pages.unmap(index);
                }
                its.done.fetch_add(1, Ordering::Release);
            }
        });
        Self { shared }
    }

    /// Has a page unmapped, and spins meanwhile.
    fn unmap(&self, pages: &Arc<sys::Pages>, index: usize) {
        if let Ok(mut page) = self.shared.page.lock() {
            *page = Some((pages.clone(), index));
        }
        let asked = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        sys::spin_until(&self.shared.done, asked);
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
    }
}
