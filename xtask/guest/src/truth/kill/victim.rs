//! What this program does as a victim.

use std::{ptr, sync::atomic::Ordering, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use isol_trace_common::config::isolation::{ENTER, FIRST_QUIET, LEAVE};

use super::section::{SIGNALS, configure, enter, handle};
use crate::truth::{process, sys};

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
        "threads" => {
            thread::spawn(|| sys::spin(Duration::from_mins(1)));
            thread::sleep(Duration::from_millis(50));
            exit(4);
        }
        "bystander" => {
            sys::section(ENTER);
            loop {
                sys::getppid();
                sys::spin(Duration::from_millis(1));
            }
        }
        other => bail!("no victim {other}"),
    }
    Ok(0)
}

/// Leaves a section in which so many signals have been handled.
fn leave_after(expected: u32) -> Result<()> {
    sys::section(LEAVE);
    let signals = SIGNALS.load(Ordering::Relaxed);
    ensure!(signals == expected, "{signals} signals");
    Ok(())
}

/// Sections, and breaches in them.
fn strict(name: &str) -> Result<u8> {
    match name {
        "strict_call" => {
            sys::getppid();
            sys::section(ENTER);
            sys::getppid();
            sys::spin(Duration::from_mins(1));
        }
        "strict_fault" => {
            let pages = sys::Pages::private(8)?;
            sys::section(ENTER);
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
            sys::section(ENTER);
            sys::spin(Duration::from_mins(1));
        }
        "strict_handler" => {
            handle(libc::SIGUSR1)?;
            sys::section(ENTER);
            for _ in 0..50 {
                sys::getppid();
            }
            leave_after(1)?;
        }
        "strict_again" => {
            handle(libc::SIGUSR1)?;
            for _ in 0..3 {
                sys::section(ENTER);
                for _ in 0..10 {
                    sys::getppid();
                }
            }
            leave_after(3)?;
        }
        "strict_exempt" => {
            sys::getppid();
            // Touched before: nothing may fault in between.
            sys::section(ENTER);
            sys::section(LEAVE);
            sys::getppid();
            sys::section(ENTER);
            exit(5);
        }
        "strict_child" => {
            // SAFETY: the child only calls the kernel.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // A child has no page of the program until it touches it: all that follows is done once.
                sys::section(FIRST_QUIET);
                sys::getppid();
                sys::section(ENTER);
                sys::getppid();
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
        "strict_storm" => {
            let (tracer, victim) = (tracer()?, std::process::id());
            // SAFETY: the child only calls the kernel, and exits.
            if unsafe { libc::fork() } == 0 {
                exit(i32::from(go_on_after(victim, tracer).is_err()));
            }
            sys::kill(tracer, libc::SIGSTOP)?;
            for _ in 0..20_000 {
                sys::getppid();
            }
            sys::section(ENTER);
            sys::getppid();
            sys::spin(Duration::from_mins(1));
        }
        "strict_thread" => {
            let _outlives = thread::spawn(|| {
                sys::spin(Duration::from_millis(100));
                sys::getppid();
                sys::section(ENTER);
                sys::getppid();
                sys::spin(Duration::from_mins(1));
            });
            // SAFETY: ends this thread alone, which holds nothing that the other one waits for.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        other => bail!("no victim {other}"),
    }
    Ok(0)
}

/// The tracer of a strict victim: the parent of the guard that has started it.
fn tracer() -> Result<u32> {
    let guard = std::os::unix::process::parent_id();
    let tracer = process::status(&format!("/proc/{guard}/status"), "PPid")?;
    tracer.parse().with_context(|| tracer.clone())
}

/// Waits elsewhere for the end of a victim, and has the tracer go on that it has stopped.
fn go_on_after(victim: u32, tracer: u32) -> Result<()> {
    sys::pin(0, &[0])?;
    let status = format!("/proc/{victim}/status");
    // Its guard reaps it: there is nothing to read then.
    while process::status(&status, "State").is_ok_and(|state| !state.starts_with('Z')) {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(sys::kill(tracer, libc::SIGCONT)?)
}

/// Sections of a kernel with task isolation.
fn kernel(name: &str) -> Result<u8> {
    match name {
        "kernel_strict" => {
            configure(2, 0, 0)?;
            enter()?;
            sys::getppid();
            sys::spin(Duration::from_mins(1));
        }
        "kernel_signal" => {
            handle(libc::SIGUSR1)?;
            configure(1, 0, libc::SIGUSR1.unsigned_abs())?;
            enter()?;
            sys::getppid();
            sys::getppid();
            let signals = SIGNALS.load(Ordering::Relaxed);
            ensure!(signals == 1, "{signals} signals");
        }
        "kernel_mixed" => super::mixed::run()?,
        "kernel_log" => {
            configure(0, 0, 0)?;
            enter()?;
            sys::getppid();
            sys::getppid();
            sys::getppid();
        }
        other => bail!("no victim {other}"),
    }
    Ok(0)
}
