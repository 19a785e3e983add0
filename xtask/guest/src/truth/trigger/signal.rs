//! Signals from another process, and the handlers that other triggers use.

use std::{
    arch::asm,
    ffi::c_void,
    sync::atomic::{AtomicI64, Ordering},
};

use anyhow::Result;

use super::{
    super::{
        expect::{one, syscall},
        sys,
    },
    Partner, Scenario, Trigger, sent_by_director,
};

/// The rows.
pub const ALL: &[Trigger] = &[Trigger {
    name: "signal_remote",
    about: "SIGUSR1 from another process, with a handler",
    act: |actor| {
        handle(libc::SIGUSR1)?;
        SKIP.store(0, Ordering::Relaxed);
        sys::kill(std::process::id(), libc::SIGUSR1)?;
        actor.perform(|| actor.await_partner())
    },
    partner: Some(|scenario| Ok(Box::new(Sender(scenario, libc::SIGUSR1)))),
    expect: |_| {
        let kicked = one("reschedule").does("signal", &[]).end("return");
        Ok(vec![
            sent_by_director(kicked, "kill"),
            syscall(libc::SYS_rt_sigreturn, "rt_sigreturn"),
        ])
    },
}];

/// Sends a signal to the actor.
#[derive(Debug)]
pub struct Sender<'a>(pub &'a Scenario<'a>, pub i32);

impl Partner for Sender<'_> {
    fn act(&mut self) -> Result<()> {
        let (pid, _) = self.0.shared_page.who();
        Ok(sys::kill(pid, self.1)?)
    }
}

/// Bytes by which the handler moves the instruction pointer on.
static SKIP: AtomicI64 = AtomicI64::new(0);

/// Says how long the instruction is that will fault.
pub fn skip_bytes(length: i64) {
    SKIP.store(length, Ordering::Relaxed);
}

extern "C" fn skip_instruction(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel hands every SA_SIGINFO handler a valid context.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    if let Some(ip) = registers.get_mut(libc::REG_RIP as usize) {
        *ip += SKIP.load(Ordering::Relaxed);
    }
}

/// Installs the handler that steps over the instruction.
pub fn handle(signal: i32) -> Result<()> {
    // SAFETY: an all-zero sigaction is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = skip_instruction;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action outlives the call; the handler touches its context and an atomic only.
    sys::check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }.into())?;
    Ok(())
}

/// Stores a byte; the handler steps over the store where it faults.
pub fn store_or_skip(address: *mut u8) {
    // `mov byte ptr [rax], 1`: c6 00 01.
    skip_bytes(3);
    // SAFETY: the address is a page of the caller's, read-only: the store faults
    // and the handler steps over it.
    unsafe {
        asm!("mov byte ptr [rax], 1", in("rax") address);
    }
}
