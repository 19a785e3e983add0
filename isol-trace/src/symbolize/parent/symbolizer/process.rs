//! One symbolizer process, and the socket to it: starts it, talks to it within its deadlines, and finds out
//! why it ended.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{
    Deadlines,
    bars::{Fault, UsedFile},
};
use crate::{
    bpf::numbers::{Numbers, PendingNumber},
    host::{affinity, cpu_list::CpuSet},
    symbolize::{
        child::WORD,
        shared::{
            channel,
            protocol::{
                Allowance, Confinement, FileId, Order, Payer, Report, SPACES, decode, encode,
            },
            shared_table::SharedTable,
        },
    },
};

/// How many bytes of a symbolizer's standard error are read, once it has ended.
const STDERR_LIMIT: u64 = 4096;

/// How long to wait for a process to end. One that the kernel keeps for longer is not waited for any more.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How a symbolizer is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    /// The program: isol-trace itself, except in tests.
    pub program: PathBuf,
    /// Its arguments.
    pub words: Vec<String>,
    /// Private memory that it may take, in bytes.
    pub memory: u64,
    /// How its process number is found, as probes see it.
    pub numbers: Numbers,
}

impl Starter {
    /// isol-trace itself, as a symbolizer with `memory` bytes. `/proc/self/exe` is the program that runs,
    /// even if its path now names another file.
    #[must_use]
    pub fn own(memory: u64) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            words: vec![WORD.to_owned()],
            memory,
            numbers: Numbers::default(),
        }
    }
}

/// Why a symbolizer has ended, or has to be ended.
#[derive(Debug)]
pub(super) enum EndReason {
    /// It could not be started.
    NotStarted(io::Error),
    /// Its process number, as probes see it, could not be read. What it does could not be told from what others do.
    Unnumbered(io::Error),
    /// It took more memory than it may.
    Memory(u64),
    /// It took more time on a CPU than it may.
    CpuTime,
    /// It did not answer in time.
    Hung,
    /// A file became shorter while it was read, or could not be read from the disk (`SIGBUS`).
    Truncated,
    /// It sent a message that cannot be true.
    Protocol(&'static str),
    /// It closed its socket, or nothing could be sent to it.
    Closed,
    /// It ended with this status, which stands for none of the above.
    Status(ExitStatus),
}

impl EndReason {
    /// How sure it is that the file that it read is at fault. The signals below come from another process, or
    /// from the kernel when it is out of memory: none of the symbolizer's own limits sends one of them, and
    /// the only signal that it may send itself is `SIGABRT`.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::CpuTime | Self::Hung | Self::Protocol(_) => Fault::Certain,
            Self::Status(status)
                if matches!(
                    status.signal(),
                    Some(
                        libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT
                    )
                ) =>
            {
                Fault::Outside
            }
            _ => Fault::Likely,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "{error}"),
            Self::Unnumbered(error) => {
                write!(f, "its process number cannot be read: {error}")
            }
            Self::Memory(limit) => write!(
                f,
                "memory limit of {} MiB: --symbol-memory gives it more",
                limit >> 20
            ),
            Self::CpuTime => f.write_str("limit of CPU time"),
            Self::Hung => f.write_str("no answer in time"),
            Self::Truncated => f.write_str("the file was cut while it was read"),
            Self::Protocol(what) => f.write_str(what),
            Self::Closed => f.write_str("it ended"),
            Self::Status(status) => write!(f, "{status}"),
        }
    }
}

/// A symbolizer that runs.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Its number, as probes see it.
    probe_pid: u32,
    socket: OwnedFd,
    last_words: Option<ChildStderr>,
    memory: u64,
    deadlines: Deadlines,
    /// It has given an answer: so it may still keep something of a file that it read for an earlier question.
    pub(super) has_answered: bool,
    /// For each address space, the files whose code the symbolizer keeps. The symbolizer has a table of the
    /// same address spaces, and forgets the same ones.
    spaces: SharedTable<u64, HashMap<FileId, UsedFile>>,
    /// The CPU time at which the kernel ends it (`RLIMIT_CPU`).
    granted: Duration,
    /// The CPU time that it had used when it was last asked.
    cpu_time_when_asked: Duration,
    /// It is scheduled as `SCHED_IDLE`: it runs only where no other task wants the CPU.
    is_idle: bool,
    /// Until when it may stay `SCHED_IDLE` without an answer. After that it competes for a CPU.
    idle_until: Instant,
    /// The deadline of the answer that is awaited.
    until: Instant,
}

impl Process {
    /// Starts one, and waits until it is confined. Before it confines itself, `publish` is called with its
    /// number, as probes see it.
    pub(super) fn start(
        starter: &Starter,
        deadlines: Deadlines,
        publish: impl FnOnce(u32),
    ) -> Result<(Self, Confinement), EndReason> {
        let (socket, theirs) = channel::pair().map_err(EndReason::NotStarted)?;
        let mut command = Command::new(&starter.program);
        let pending = starter
            .numbers
            .ask_of(&mut command)
            .map_err(EndReason::NotStarted)?;
        let child = command
            .args(&starter.words)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // In a process group of its own it gets no signal from the terminal: Ctrl-C is for the tracer.
            .process_group(0)
            .spawn()
            .map_err(EndReason::NotStarted)?;
        // The command holds a copy of the symbolizer's end of the socket. Without it we see when the
        // symbolizer closes it.
        drop(command);
        let mut process = Self::with_probe_pid(child, pending, socket, starter.memory, deadlines)?;
        publish(process.probe_pid);
        let begin = Order::Begin(Allowance {
            memory: starter.memory,
            tracer: std::process::id(),
        });
        let ready = process.send(&begin, None).and_then(|()| process.listen());
        match ready {
            Ok(Report::Ready(confinement)) => Ok((process, confinement)),
            Ok(_) => Err(process.end(EndReason::Protocol("it is no symbolizer"))),
            Err(ended) => Err(process.end(ended)),
        }
    }

    /// Reads the number of a process that was started, as probes see it. If that cannot be read, the process is ended.
    fn with_probe_pid(
        mut child: Child,
        pending: PendingNumber,
        socket: OwnedFd,
        memory: u64,
        deadlines: Deadlines,
    ) -> Result<Self, EndReason> {
        let probe_pid = pending.read(child.id());
        let process = Self {
            last_words: child.stderr.take(),
            child,
            probe_pid: *probe_pid.as_ref().unwrap_or(&0),
            socket,
            memory,
            deadlines,
            has_answered: false,
            spaces: SharedTable::new(SPACES),
            granted: Duration::ZERO,
            cpu_time_when_asked: Duration::ZERO,
            is_idle: false,
            idle_until: Instant::now(),
            until: Instant::now() + deadlines.start,
        };
        match probe_pid {
            Ok(_) => Ok(process),
            Err(error) => Err(process.end(EndReason::Unnumbered(error))),
        }
    }

    /// Returns the process, unless it has ended.
    pub(super) fn if_alive(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }

    /// The number of the process, as probes see it.
    pub(super) fn probe_pid(&self) -> u32 {
        self.probe_pid
    }

    /// The number of the process in our own PID namespace.
    #[cfg(test)]
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes out the files of an address space whose code the symbolizer keeps. `payer` is about to ask about
    /// that space.
    pub(super) fn take_space(&mut self, space: u64, payer: Payer) -> HashMap<FileId, UsedFile> {
        if let Some(files) = self.spaces.get(&space, payer) {
            return std::mem::take(files);
        }
        self.spaces.insert(space, HashMap::new(), payer);
        HashMap::new()
    }

    /// Puts back the files of an address space, as they are after the answer.
    pub(super) fn keep_space(
        &mut self,
        space: u64,
        payer: Payer,
        files: HashMap<FileId, UsedFile>,
    ) {
        if let Some(kept) = self.spaces.get(&space, payer) {
            *kept = files;
        }
    }

    /// Whether it keeps code of an address space.
    #[cfg(test)]
    pub(super) fn knows_space(&self, space: u64) -> bool {
        self.spaces.peek(&space).is_some()
    }

    /// Makes it `SCHED_IDLE`: the kernel runs it only where no other task wants the CPU.
    pub(super) fn be_idle(&mut self) {
        self.is_idle = self.is_idle || self.schedule(libc::SCHED_IDLE);
    }

    /// Makes it `SCHED_OTHER`: the kernel gives it the same share of a CPU as other tasks. Without
    /// `CAP_SYS_NICE` it stays `SCHED_IDLE`, unless its `RLIMIT_NICE` allows that
    /// (`kernel/sched/syscalls.c:user_check_sched_setscheduler`, v6.12).
    fn compete(&mut self) {
        self.is_idle = self.is_idle && !self.schedule(libc::SCHED_OTHER);
    }

    fn schedule(&self, policy: libc::c_int) -> bool {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the kernel reads the parameters, which are ours and outlive the call. The process is our child and not
        // waited for, so the number is its own.
        unsafe { libc::sched_setscheduler(self.number(), policy, &raw const parameters) == 0 }
    }

    /// Lets it run on these CPUs only. A symbolizer that is started later inherits the affinity of the tracer.
    pub(super) fn confine(&self, cpus: &CpuSet) {
        // If that fails, it stays on the CPUs that were housekeeping CPUs until now.
        let _ = affinity::pin(self.number(), cpus);
    }

    /// Sends an order. If that is a question, its deadlines and its CPU time count from now on.
    pub(super) fn tell(
        &mut self,
        order: &Order,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), EndReason> {
        if matches!(order, Order::Ask(..)) {
            let now = Instant::now();
            self.idle_until = now + self.deadlines.idle;
            self.until = now + self.deadlines.wall;
            self.grant_time();
        }
        self.send(order, descriptor)
    }

    fn send(&self, order: &Order, descriptor: Option<BorrowedFd<'_>>) -> Result<(), EndReason> {
        let packet = encode(order).ok_or(EndReason::Closed)?;
        channel::send(self.socket.as_fd(), &packet, descriptor).or(Err(EndReason::Closed))
    }

    /// Waits for its next message, and checks it.
    pub(super) fn listen(&mut self) -> Result<Report, EndReason> {
        let packet = match self.receive() {
            Ok(Some(packet)) => packet,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(EndReason::Hung),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(EndReason::Protocol("a message of it is too long"));
            }
            Ok(None) | Err(_) => return Err(EndReason::Closed),
        };
        let report: Report = decode(&packet).or(Err(EndReason::Protocol(
            "it sent a message that cannot be decoded",
        )))?;
        report.check().or(Err(EndReason::Protocol(
            "a message of it is beyond all limits",
        )))?;
        Ok(report)
    }

    /// Waits for a packet. If a `SCHED_IDLE` symbolizer has not answered in time, it competes for a CPU from then on.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.is_idle && self.idle_until < self.until {
            match channel::receive_plain(self.socket.as_fd(), self.idle_until) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => self.compete(),
                received => return received,
            }
        }
        channel::receive_plain(self.socket.as_fd(), self.until)
    }

    /// Kills it. Returns why it ended: `why`, or what its exit status tells if it had closed its socket.
    pub(super) fn end(mut self, why: EndReason) -> EndReason {
        // One that has closed its socket is about to end by itself, and its own status is wanted.
        let status = match why {
            EndReason::Closed => self.gone_within(EXIT_TIMEOUT),
            _ => None,
        };
        let _ = self.child.kill();
        let status = status.or_else(|| self.gone_within(EXIT_TIMEOUT));
        match (why, status) {
            (EndReason::Closed, Some(status)) => self.cause_of(status),
            (why, _) => why,
        }
    }

    fn gone_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + time;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Why the process ended, by its exit status and its last words.
    fn cause_of(&mut self, status: ExitStatus) -> EndReason {
        // `std::alloc::handle_alloc_error` says this and aborts.
        const OUT_OF_MEMORY: &str = "memory allocation of";
        let mut words = Vec::new();
        if let Some(pipe) = &mut self.last_words {
            // The process has ended, so that only our end of the pipe is open: reading comes to an end.
            let _ = pipe.take(STDERR_LIMIT).read_to_end(&mut words);
        }
        match status.signal() {
            Some(libc::SIGXCPU) => EndReason::CpuTime,
            Some(libc::SIGBUS) => EndReason::Truncated,
            Some(libc::SIGABRT) if String::from_utf8_lossy(&words).contains(OUT_OF_MEMORY) => {
                EndReason::Memory(self.memory)
            }
            _ => EndReason::Status(status),
        }
    }

    /// Raises the limit on its CPU time, if need be, so that one more question has its full time.
    fn grant_time(&mut self) {
        let used = self.cpu_time().unwrap_or(self.granted);
        self.cpu_time_when_asked = used;
        if used + self.deadlines.cpu <= self.granted {
            return;
        }
        let granted = used + 2 * self.deadlines.cpu;
        let limit = Rlimit {
            current: Some(granted.as_secs().max(1)),
            maximum: None,
        };
        if prlimit(Pid::from_raw(self.number()), Resource::Cpu, limit).is_ok() {
            self.granted = granted;
        }
    }

    /// The CPU time that it has used since it was last asked.
    pub(super) fn spent(&self) -> Option<Duration> {
        self.cpu_time()?.checked_sub(self.cpu_time_when_asked)
    }

    /// The CPU time that it has used so far.
    fn cpu_time(&self) -> Option<Duration> {
        let mut clock = 0;
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes `clock`, which is ours and outlives the call.
        if unsafe { libc::clock_getcpuclockid(self.number(), &raw mut clock) } != 0 {
            return None;
        }
        // SAFETY: the call writes `time`, which is ours and outlives the call.
        if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
            return None;
        }
        let (seconds, nanoseconds) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
        Some(Duration::new(seconds, nanoseconds))
    }

    /// Its number, as the C library takes it.
    fn number(&self) -> libc::pid_t {
        // The kernel gives no number beyond 2^22, so that the sign does not matter.
        self.child.id().cast_signed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Mostly it has ended already. If not, nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.gone_within(EXIT_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// In a PID namespace, the number that a process has there is another process's number for the probes.
    #[test]
    fn one_whose_number_cannot_be_read_is_ended() {
        let child = Command::new("sleep")
            .arg("100")
            .spawn()
            .expect("every Linux has sleep");
        let folder = format!("/proc/{}", child.id());
        let (socket, _theirs) = channel::pair().expect("a pair");
        let silent = PendingNumber::silent().expect("a pipe");
        let started = Process::with_probe_pid(child, silent, socket, 0, Deadlines::default());
        let said = started.expect_err("nothing was guessed").to_string();
        assert_eq!(
            said,
            "its process number cannot be read: failed to fill whole buffer"
        );
        assert!(!Path::new(&folder).exists(), "it runs on");
    }
}
