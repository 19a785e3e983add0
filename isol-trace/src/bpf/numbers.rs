//! The numbers by which the kernel's probes know our own processes.
//!
//! Probes see those of the first PID namespace: `bpf_get_current_pid_tgid` gives `task->tgid` (kernel/bpf/helpers.c, v6.12),
//! and records have the same. Inside of another namespace, as in a container, nothing else shows that number: `NSpid` of
//! `/proc/PID/status` begins at the namespace of that `/proc` (`task_state`, fs/proc/array.c, v6.12). So a program of three
//! instructions says it, which the kernel runs in the context of who asks (`bpf_prog_test_run_raw_tp`,
//! `net/bpf/test_run.c`, v6.1 and v6.12).

use std::{
    io::{self, PipeReader, Read as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
    sync::Arc,
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_type};

use crate::{event::ids::Pid, host::Host};

/// `call bpf_get_current_pid_tgid`, `r0 >>= 32`, `exit`, as include/uapi/linux/bpf.h encodes them.
const PROGRAM: [u64; 3] = [
    instruction(0x85, 14),
    instruction(0x77, 32),
    instruction(0x95, 0),
];

/// An instruction on register 0, or none.
const fn instruction(code: u8, immediate: u32) -> u64 {
    code as u64 | (immediate as u64) << 32
}

/// How our own processes learn their numbers.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Says who runs it; `None` where numbers here are those that probes see.
    program: Option<Arc<OwnedFd>>,
}

/// Two are the same that ask the same.
impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        let [ours, theirs] = [self, other].map(|it| it.program.as_deref().map(OwnedFd::as_raw_fd));
        ours == theirs
    }
}

impl Eq for Numbers {}

/// The number of a process that is being started, which it writes itself.
#[derive(Debug)]
pub(crate) struct PendingNumber(Option<PipeReader>);

impl Numbers {
    /// For the PID namespace that we are in.
    pub fn on(host: &Host) -> io::Result<Self> {
        if host.is_in_pid_namespace() {
            Self::of_another_namespace()
        } else {
            Ok(Self::default())
        }
    }

    /// For a PID namespace that is not the first.
    fn of_another_namespace() -> io::Result<Self> {
        let program = load(&PROGRAM)?;
        Ok(Self {
            program: Some(Arc::new(program)),
        })
    }

    /// The number of this process.
    pub fn own(&self) -> io::Result<Pid> {
        match &self.program {
            Some(program) => ask(program).map(Pid),
            None => Ok(Pid(std::process::id())),
        }
    }

    /// Has a command write its number when it is started.
    pub(crate) fn ask_of(&self, command: &mut Command) -> io::Result<PendingNumber> {
        let Some(program) = self.program.clone() else {
            return Ok(PendingNumber(None));
        };
        let (reader, writer) = io::pipe()?;
        let write_number = move || {
            let number = ask(&program)?;
            rustix::io::write(&writer, &number.to_ne_bytes())?;
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes two system calls on memory of its own; it allocates nothing and
        // takes no lock.
        unsafe { command.pre_exec(write_number) };
        Ok(PendingNumber(Some(reader)))
    }
}

impl PendingNumber {
    /// Of a process that ends before it has written any.
    #[cfg(test)]
    pub(crate) fn silent() -> io::Result<Self> {
        let (reader, _) = io::pipe()?;
        Ok(Self(Some(reader)))
    }

    /// The number of the process, which has been started; `here` is the one that it has in our namespace.
    pub(crate) fn read(self, here: u32) -> io::Result<u32> {
        let Some(mut reader) = self.0 else {
            return Ok(here);
        };
        let mut number = [0; 4];
        // It has written before it became what it is.
        reader.read_exact(&mut number)?;
        Ok(u32::from_ne_bytes(number))
    }
}

/// Has the kernel take a program.
fn load(program: &[u64]) -> io::Result<OwnedFd> {
    // SAFETY: a union of structures of integers, for which all zeros is valid.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.__bindgen_anon_3.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    attributes.__bindgen_anon_3.insn_cnt =
        u32::try_from(program.len()).map_err(io::Error::other)?;
    attributes.__bindgen_anon_3.insns = program.as_ptr() as u64;
    attributes.__bindgen_anon_3.license = c"Dual MIT/GPL".as_ptr() as u64;
    let number = bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Runs a program, in this thread's context.
fn ask(program: &OwnedFd) -> io::Result<u32> {
    // SAFETY: a union of structures of integers, for which all zeros is valid.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.test.prog_fd = program.as_raw_fd().cast_unsigned();
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes)?;
    // SAFETY: every bit pattern is an integer. The kernel has written what the program returned.
    Ok(unsafe { attributes.test.retval })
}

fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the attributes and what they point to outlive the call, and the kernel writes no further than them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    /// The number by which the probes know this process.
    pub(crate) fn this_process() -> u32 {
        let numbers = Numbers::on(&Host::new("/")).unwrap();
        numbers.own().unwrap().0
    }

    /// The number by which the probes know this thread.
    pub(crate) fn this_thread() -> u32 {
        let [call, _, exit] = PROGRAM;
        ask(&load(&[call, exit]).unwrap()).unwrap()
    }

    /// Whether numbers here are those that probes see, so that there is something to compare them with.
    fn is_first_namespace() -> bool {
        !Host::new("/").is_in_pid_namespace()
    }

    #[test]
    #[ignore = "needs CAP_BPF and CAP_PERFMON"]
    fn the_program_says_what_probes_see() {
        let here = Pid(std::process::id());
        assert_eq!(Numbers::default().own().unwrap(), here);
        let numbers = Numbers::of_another_namespace().unwrap();
        let own = numbers.own().unwrap();
        if is_first_namespace() {
            assert_eq!(own, here);
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            assert_eq!(this_thread(), thread.cast_unsigned());
        }
        let thread = thread::spawn(move || (numbers.own().unwrap(), this_thread()));
        let (process, thread) = thread.join().unwrap();
        assert_eq!(process, own, "of the process, not the thread");
        assert_ne!(thread, this_thread());
    }

    #[test]
    #[ignore = "needs CAP_BPF and CAP_PERFMON"]
    fn a_command_writes_its_number() {
        let run = |numbers: &Numbers| {
            let mut command = Command::new("true");
            let pending = numbers.ask_of(&mut command).unwrap();
            let mut child = command.spawn().unwrap();
            let number = pending.read(child.id()).unwrap();
            child.wait().unwrap();
            (number, child.id())
        };
        let (number, here) = run(&Numbers::default());
        assert_eq!(number, here);
        let numbers = Numbers::of_another_namespace().unwrap();
        let commands = [run(&numbers), run(&numbers)];
        if is_first_namespace() {
            assert!(commands.iter().all(|(number, here)| number == here));
        }
        let own = numbers.own().unwrap().0;
        let all = HashSet::from([own, commands[0].0, commands[1].0]);
        assert_eq!(all.len(), 3, "each has its own: {commands:?}, {own}");
    }
}
