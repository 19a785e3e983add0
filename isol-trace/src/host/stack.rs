//! How far the stack of the first thread may grow. The kernel looks at the limit each time that it does
//! (`acct_stack_growth`, mm/mmap.c, v6.12), so that it can be raised in a running program; what lies below the stack was
//! placed 128 MiB away or more (`mmap_base`, arch/x86/mm/mmap.c and mm/util.c, v6.12). Other threads have a size of their own.

use std::{io, os::unix::process::CommandExt as _, process::Command, sync::OnceLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::descriptors::TooLittleMemory;

/// The limits that this process was started with, where they were raised.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// What this program needs. With 128 KiB it was seen to run out, with 256 KiB not.
const NEEDED: u64 = 512 << 10;

/// What it asks for: the usual limit.
const WANTED: u64 = 8 << 20;

/// Makes room, or fails. To be called before anything that takes much of the stack.
pub fn make_room() -> Result<(), TooLittleMemory> {
    let before = getrlimit(Resource::Stack);
    let Some(soft) = before.current.filter(|soft| *soft < NEEDED) else {
        return Ok(());
    };
    let hard = before.maximum.unwrap_or(WANTED);
    let raised = if hard >= NEEDED {
        set(hard.min(WANTED), before.maximum)
    } else {
        // CAP_SYS_RESOURCE may (setrlimit(2)).
        set(WANTED, Some(WANTED))
    };
    if raised.is_err() {
        return Err(TooLittleMemory {
            what: "stack",
            option: "-s",
            needed_kib: NEEDED >> 10,
            limit_kib: soft >> 10,
        });
    }
    let _ = BEFORE.set(before);
    Ok(())
}

/// Gives a command the limits that this process was started with.
pub fn restore_for(command: &mut Command) {
    let Some(before) = BEFORE.get().copied() else {
        return;
    };
    let restore = move || setrlimit(Resource::Stack, before).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call on memory that was laid out before the fork.
    unsafe { command.pre_exec(restore) };
}

fn set(current: u64, maximum: Option<u64>) -> rustix::io::Result<()> {
    let limit = Rlimit {
        current: Some(current),
        maximum,
    };
    setrlimit(Resource::Stack, limit)
}
