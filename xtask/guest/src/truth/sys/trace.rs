//! A process that this thread debugs (ptrace(2)).

use std::{fs::File, io, os::unix::fs::FileExt as _, ptr};

use super::check;

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

/// The process, of one thread. It is debugged until it is let go, or ends.
#[derive(Debug)]
pub struct Debugged {
    pid: i32,
    memory: File,
}

impl Debugged {
    /// Attaches, and leaves it running.
    pub fn attach(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        ask(libc::PTRACE_SEIZE, pid)?;
        let memory = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))?;
        Ok(Self { pid, memory })
    }

    /// Puts a breakpoint in the place of an instruction of one byte, and answers what was there.
    pub fn put(&self, address: u64) -> io::Result<u8> {
        let mut before = [0];
        self.memory.read_exact_at(&mut before, address)?;
        self.write(address, BREAKPOINT)?;
        Ok(before[0])
    }

    /// Puts an instruction of one byte back.
    pub fn write(&self, address: u64, instruction: u8) -> io::Result<()> {
        // The kernel lets a debugger write where the process itself may not (`mem_rw`,
        // fs/proc/base.c, v6.12).
        self.memory.write_all_at(&[instruction], address)
    }

    /// Stops it, however it runs.
    pub fn stop(&self) -> io::Result<()> {
        ask(libc::PTRACE_INTERRUPT, self.pid)?;
        self.wait().map(drop)
    }

    /// Waits until it has stopped, and answers by which signal.
    pub fn wait(&self) -> io::Result<i32> {
        let mut status = 0;
        // SAFETY: the status outlives the call.
        check(unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) }.into())?;
        if !libc::WIFSTOPPED(status) {
            return Err(io::Error::other("it ended while it was debugged"));
        }
        Ok(libc::WSTOPSIG(status))
    }

    /// Lets one that has stopped run on, still debugged.
    pub fn go_on(&self) -> io::Result<()> {
        ask(libc::PTRACE_CONT, self.pid)
    }

    /// Lets one that has stopped run on, and go.
    pub fn detach(self) -> io::Result<()> {
        ask(libc::PTRACE_DETACH, self.pid)
    }
}

/// A request that needs neither a place nor data.
fn ask(request: libc::c_uint, pid: i32) -> io::Result<()> {
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: plain numbers.
    check(unsafe { libc::ptrace(request, pid, nothing, nothing) }).map(drop)
}
