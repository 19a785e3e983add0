//! What victims do about sections and signals.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use isol_trace_common::config::{PR_TASK_ISOLATION, isolation::ENTER};

use crate::truth::sys;

/// The operation of `PR_TASK_ISOLATION` that configures.
const CONFIGURE: u64 = 3;

/// Signals that were counted.
pub(super) static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Has a signal counted rather than obeyed.
pub(super) fn handle(signal: i32) -> Result<()> {
    // SAFETY: the handler only adds to an atomic.
    let before = unsafe {
        libc::signal(
            signal,
            count as extern "C" fn(libc::c_int) as libc::sighandler_t,
        )
    };
    ensure!(before != libc::SIG_ERR, "signal");
    Ok(())
}

/// `struct task_isolation_config` of `kernel/patches`.
pub(super) fn configure(mode: u32, flags: u32, signal: u32) -> Result<()> {
    let config: [u32; 4] = [mode, flags, 0, signal];
    // SAFETY: the kernel reads sixteen bytes there.
    let done = unsafe {
        libc::syscall(
            libc::SYS_prctl,
            PR_TASK_ISOLATION,
            CONFIGURE,
            config.as_ptr(),
            16_usize,
            0,
        )
    };
    sys::check(done)?;
    Ok(())
}

/// Isolates this thread on a kernel that can, which may take a few attempts.
pub(super) fn enter() -> Result<()> {
    for _ in 0..1000 {
        if sys::isolation(ENTER).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("the kernel does not isolate this thread")
}
