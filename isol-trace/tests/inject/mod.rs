//! System calls in another process's name: by ptrace, so that the program itself needs no code for it.

use std::{io, mem::MaybeUninit, ptr};

/// The length of the `syscall` instruction.
const SYSCALL: u64 = 2;

/// A thread that is stopped in a system call, until this is dropped.
#[derive(Debug)]
pub(crate) struct Stopped {
    thread: libc::pid_t,
    /// As it was stopped: behind its `syscall` instruction.
    registers: libc::user_regs_struct,
}

impl Stopped {
    /// Stops a thread that waits in a system call or will soon.
    pub(crate) fn in_a_call(thread: libc::pid_t) -> Self {
        request(libc::PTRACE_SEIZE, thread, 0).unwrap();
        loop {
            request(libc::PTRACE_INTERRUPT, thread, 0).unwrap();
            wait(thread);
            let registers = registers(thread);
            // Outside of a system call this is -1: let it run on.
            if registers.orig_rax.cast_signed() >= 0 {
                return Self { thread, registers };
            }
            request(libc::PTRACE_CONT, thread, 0).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Has the thread make a system call, and answers what that returns.
    pub(crate) fn call(&mut self, number: libc::c_long, arguments: [u64; 3]) -> i64 {
        let [first, second, third] = arguments;
        let call = libc::user_regs_struct {
            rip: self.registers.rip - SYSCALL,
            rax: number.cast_unsigned(),
            // Nothing that was interrupted is to be begun again.
            orig_rax: u64::MAX,
            rdi: first,
            rsi: second,
            rdx: third,
            ..self.registers
        };
        set_registers(self.thread, &call);
        request(libc::PTRACE_SINGLESTEP, self.thread, 0).unwrap();
        wait(self.thread);
        registers(self.thread).rax.cast_signed()
    }

    /// Has the thread keep itself to CPUs, given as a mask. Answers what the system call returns.
    pub(crate) fn move_to(&mut self, mask: u64) -> i64 {
        // Beyond what the stack may have in use below its pointer (System V ABI, the red zone).
        let address = self.registers.rsp - 1024;
        let data = usize::try_from(mask).unwrap();
        // SAFETY: writes a word into the other process, at an address that nothing there uses.
        let written = unsafe { libc::ptrace(libc::PTRACE_POKEDATA, self.thread, address, data) };
        assert_eq!(written, 0, "{}", io::Error::last_os_error());
        self.call(libc::SYS_sched_setaffinity, [0, 8, address])
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // With these registers the kernel begins the interrupted call again.
        set_registers(self.thread, &self.registers);
        request(libc::PTRACE_DETACH, self.thread, 0).unwrap();
    }
}

fn registers(thread: libc::pid_t) -> libc::user_regs_struct {
    let mut registers = MaybeUninit::uninit();
    // SAFETY: the kernel writes all of the registers.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_GETREGS,
            thread,
            ptr::null_mut::<u8>(),
            registers.as_mut_ptr(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // SAFETY: it has succeeded.
    unsafe { registers.assume_init() }
}

fn set_registers(thread: libc::pid_t, registers: &libc::user_regs_struct) {
    // SAFETY: the kernel reads the registers.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_SETREGS,
            thread,
            ptr::null_mut::<u8>(),
            ptr::from_ref(registers),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn wait(thread: libc::pid_t) {
    let mut status = 0;
    // SAFETY: the kernel writes the status.
    let stopped = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
    assert_eq!(stopped, thread, "{}", io::Error::last_os_error());
    assert!(libc::WIFSTOPPED(status), "{status:#x}");
}

fn request(request: libc::c_uint, thread: libc::pid_t, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: the requests that are made here take numbers, and write nothing into this process.
    let result = unsafe { libc::ptrace(request, thread, 0_usize, data) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
