//! What this program does as a victim.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Result, bail, ensure};

use crate::truth::sys;

/// `PR_TASK_ISOLATION` and its operations.
const ISOLATE: libc::c_long = 0x4953_4f4c;
pub(super) const LEAVE: libc::c_long = 0;
pub(super) const ENTER: libc::c_long = 1;
const CONFIGURE: libc::c_long = 3;

static SIGNALS: AtomicU32 = AtomicU32::new(0);

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

pub(super) fn isolation(operation: libc::c_long) {
    // SAFETY: plain numbers; a kernel without it answers EINVAL.
    unsafe { libc::syscall(libc::SYS_prctl, ISOLATE, operation, 0, 0, 0) };
}

/// `struct task_isolation_config` of `kernel/patches`.
pub(super) fn configure(mode: u32, flags: u32, signal: u32) -> Result<()> {
    let config: [u32; 4] = [mode, flags, 0, signal];
    // SAFETY: the kernel reads sixteen bytes there.
    let done = unsafe {
        libc::syscall(
            libc::SYS_prctl,
            ISOLATE,
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
        // SAFETY: plain numbers.
        if unsafe { libc::syscall(libc::SYS_prctl, ISOLATE, ENTER, 0, 0, 0) } == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("the kernel does not isolate this thread")
}

pub(super) fn getppid() {
    // SAFETY: takes nothing, changes nothing.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Ends this process at once, without what a library does before.
fn exit(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// What this program does as the victim of this name.
pub fn victim(name: &str) -> Result<u8> {
    match name.split_once('_') {
        Some(("strict", _)) => strict(name),
        Some(("kernel", _)) => kernel(name),
        Some(("mistake", which)) => super::mistakes::make(which).map(|()| 0),
        _ => plain(name),
    }
}

/// Signals as they come on every kernel.
fn plain(name: &str) -> Result<u8> {
    match name {
        "fault" => {
            let nowhere = ptr::without_provenance_mut::<u8>(8);
            // SAFETY: the fault is what is wanted.
            unsafe { nowhere.write_volatile(1) };
        }
        "itself" => sys::kill(std::process::id(), libc::SIGTERM)?,
        "by_other" => {
            let victim = std::process::id();
            // SAFETY: the child only signals and exits.
            if unsafe { libc::fork() } == 0 {
                let _ = sys::kill(victim, libc::SIGKILL);
                exit(0);
            }
            sys::spin(Duration::from_mins(1));
        }
        "by_timer" => {
            let timer = sys::ThreadTimer::create(libc::SIGALRM)?;
            timer.arm(Duration::from_millis(20))?;
            sys::spin(Duration::from_mins(1));
        }
        "handled" => {
            handle(libc::SIGUSR1)?;
            sys::kill(std::process::id(), libc::SIGUSR1)?;
            sys::kill(std::process::id(), libc::SIGWINCH)?;
            ensure!(SIGNALS.load(Ordering::Relaxed) == 1, "not handled");
        }
        "bystander" => {
            isolation(ENTER);
            loop {
                getppid();
                sys::spin(Duration::from_millis(1));
            }
        }
        other => bail!("no victim {other}"),
    }
    Ok(0)
}

/// Sections, and breaches in them.
fn strict(name: &str) -> Result<u8> {
    match name {
        "strict_call" => {
            isolation(ENTER);
            getppid();
            sys::spin(Duration::from_mins(1));
        }
        "strict_fault" => {
            let pages = sys::Pages::private(8)?;
            isolation(ENTER);
            pages.write(3);
            sys::spin(Duration::from_mins(1));
        }
        "strict_interrupt" => {
            handle(libc::SIGALRM)?;
            let timer = sys::ThreadTimer::create(libc::SIGALRM)?;
            // All that follows has been run and touched once: nothing else is to be a breach.
            sys::settle_memory()?;
            sys::spin(Duration::from_millis(1));
            timer.arm(Duration::from_millis(200))?;
            isolation(ENTER);
            sys::spin(Duration::from_mins(1));
        }
        "strict_handler" => {
            handle(libc::SIGUSR1)?;
            isolation(ENTER);
            for _ in 0..50 {
                getppid();
            }
            isolation(LEAVE);
            let signals = SIGNALS.load(Ordering::Relaxed);
            ensure!(signals == 1, "{signals} signals");
        }
        "strict_exempt" => {
            getppid();
            // Touched before: nothing may fault in between.
            isolation(ENTER);
            isolation(LEAVE);
            getppid();
            isolation(ENTER);
            exit(5);
        }
        "strict_child" => {
            // SAFETY: the child only calls the kernel.
            let child = unsafe { libc::fork() };
            if child == 0 {
                isolation(ENTER);
                getppid();
                exit(0);
            }
            let mut status = 0;
            // SAFETY: the child is ours, and the pointer lives.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            ensure!(
                libc::WIFSIGNALED(status),
                "the child ended with {status:#x}"
            );
            return Ok(3);
        }
        other => bail!("no victim {other}"),
    }
    Ok(0)
}

/// Sections of a kernel with task isolation.
fn kernel(name: &str) -> Result<u8> {
    match name {
        "kernel_strict" => {
            configure(2, 0, 0)?;
            enter()?;
            getppid();
            sys::spin(Duration::from_mins(1));
        }
        "kernel_signal" => {
            handle(libc::SIGUSR1)?;
            configure(1, 0, libc::SIGUSR1.unsigned_abs())?;
            enter()?;
            getppid();
            getppid();
            let signals = SIGNALS.load(Ordering::Relaxed);
            ensure!(signals == 1, "{signals} signals");
        }
        "kernel_mixed" => super::mixed::run()?,
        "kernel_log" => {
            configure(0, 0, 0)?;
            enter()?;
            getppid();
            getppid();
            getppid();
        }
        other => bail!("no victim {other}"),
    }
    Ok(0)
}
