//! What people do by mistake in a loop that means to be isolated.
//!
//! Each mistake is one line of this file, which [`line_of`] names: what `explain` has to find.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, bail};
use isol_trace_common::config::isolation::ENTER;

use super::section::{configure, enter};
use crate::truth::{kill::has_task_isolation, sys};

/// Names of the mistakes, as arguments of the victim.
pub const MISTAKES: [&str; 4] = ["write", "allocation", "first_touch", "sibling"];

/// The line on which a mistake is made.
pub fn line_of(mistake: &str) -> Result<u32> {
    Ok(match mistake {
        "write" => WRITE,
        "allocation" => ALLOCATION,
        "first_touch" => FIRST_TOUCH,
        "sibling" => SIBLING,
        other => bail!("no mistake {other}"),
    })
}

/// Says that this thread means to be isolated: to the kernel, where it can, else to the tracer.
fn activate() -> Result<()> {
    if has_task_isolation() {
        configure(2, 0, 0)?;
        return enter();
    }
    sys::section(ENTER);
    Ok(())
}

/// Makes a mistake, and is struck for it.
pub(super) fn make(mistake: &str) -> Result<()> {
    // Where the program's pages lie is up to the linker: none of its code is to be touched for the first
    // time between the activation and the mistake.
    sys::settle_memory()?;
    match mistake {
        "write" => {
            activate()?;
            publish(7);
        }
        "allocation" => {
            activate()?;
            collect(1 << 21);
        }
        "first_touch" => {
            let pages = sys::Pages::private(16)?;
            activate()?;
            fill(&pages);
        }
        "sibling" => neighbour()?,
        other => bail!("no mistake {other}"),
    }
    sys::spin(Duration::from_mins(1));
    Ok(())
}

#[inline(never)]
fn publish(value: u32) {
    log_line(if black_box(value) > 5 {
        "much\n"
    } else {
        "little\n"
    });
    black_box(value);
}

const WRITE: u32 = line!() + 4;
#[inline(never)]
fn log_line(text: &str) {
    // SAFETY: the bytes live.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    black_box(text);
}

const ALLOCATION: u32 = line!() + 3;
#[inline(never)]
fn collect(bytes: usize) {
    let room: Vec<u8> = Vec::with_capacity(black_box(bytes));
    black_box(room);
}

const FIRST_TOUCH: u32 = line!() + 5;
#[inline(never)]
fn fill(pages: &sys::Pages) {
    let first = pages.start().as_ptr().wrapping_add(9 * 4096);
    // SAFETY: the mapping is of sixteen pages.
    unsafe { first.write_volatile(1) };
    black_box(first);
}

/// A sibling on another CPU takes back memory that this thread has touched.
fn neighbour() -> Result<()> {
    let pages = Arc::new(sys::Pages::private(16)?);
    pages.write(3);
    let stage = Arc::new(AtomicU32::new(0));
    let (its, its_stage) = (pages, stage.clone());
    thread::spawn(move || {
        // The boot CPU is never isolated (kernel/time/tick-sched.c:tick_nohz_full_setup, v6.12).
        let _ = sys::pin(0, &[0]);
        its_stage.store(SIBLING_READY, Ordering::Release);
        // Activation may take the other thread several attempts.
        while its_stage.load(Ordering::Acquire) != ACTIVATED {
            thread::sleep(STEP);
        }
        // From there to its loop it has a few instructions to go.
        thread::sleep(20 * STEP);
        take_back(&its);
    });
    while stage.load(Ordering::Acquire) != SIBLING_READY {
        thread::sleep(STEP);
    }
    // All that follows has been run and touched once: nothing else is to be a breach.
    sys::settle_memory()?;
    sys::spin(Duration::from_millis(1));
    activate()?;
    stage.store(ACTIVATED, Ordering::Release);
    Ok(())
}

/// How far the two threads are: the sibling is on its CPU; the other one is isolated.
const SIBLING_READY: u32 = 1;
const ACTIVATED: u32 = 2;

/// Between two looks at that.
const STEP: Duration = Duration::from_millis(1);

const SIBLING: u32 = line!() + 5;
#[inline(never)]
fn take_back(pages: &sys::Pages) {
    let page = pages.start().as_ptr().wrapping_add(3 * 4096);
    // SAFETY: a page of ours that nobody uses any more.
    unsafe { libc::munmap(page.cast(), 4096) };
    black_box(page);
}
