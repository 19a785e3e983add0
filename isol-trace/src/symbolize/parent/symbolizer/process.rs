//! One symbolizer: a process, and the socket to it.

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

/// Bytes of its last words that are looked at.
const LAST_WORDS: u64 = 4096;

/// How long a killed process is waited for; one that the kernel holds on to is waited for by nobody.
const GONE: Duration = Duration::from_secs(1);

/// How a symbolizer is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    /// The program: this one, save in tests.
    pub program: PathBuf,
    /// Its command line.
    pub words: Vec<String>,
    /// Private memory that it may take, in bytes.
    pub memory: u64,
    /// How it learns its number.
    pub numbers: Numbers,
}

impl Starter {
    /// This program, as a symbolizer with so much memory. `/proc/self/exe` is what runs, whatever lies at its path now.
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

/// Why a symbolizer is no more.
#[derive(Debug)]
pub(super) enum Ended {
    /// It could not be started.
    NotStarted(io::Error),
    /// By which number the probes know it is not known: what it does could not be told from what others do.
    Unnumbered(io::Error),
    /// It took more memory than it may.
    Memory(u64),
    /// It took more time on a CPU than it may.
    CpuTime,
    /// It did not answer in time.
    Hung,
    /// What it read became shorter meanwhile, or could not be read from the disk.
    Cut,
    /// It said what cannot be.
    Unbelievable(&'static str),
    /// It closed its socket, or could not be told anything.
    Closed,
    /// It ended otherwise.
    Status(ExitStatus),
}

impl Ended {
    /// How far what it read is at fault. None of its own limits ends it by one of the signals below, and it may send
    /// itself none but `SIGABRT`: they come from another process, or from the kernel out of memory.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::CpuTime | Self::Hung | Self::Unbelievable(_) => Fault::Certain,
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

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "{error}"),
            Self::Unnumbered(error) => {
                write!(f, "the kernel's number of it cannot be read: {error}")
            }
            Self::Memory(limit) => write!(
                f,
                "memory limit of {} MiB: --symbol-memory gives it more",
                limit >> 20
            ),
            Self::CpuTime => f.write_str("limit of CPU time"),
            Self::Hung => f.write_str("no answer in time"),
            Self::Cut => f.write_str("the file was cut while it was read"),
            Self::Unbelievable(what) => f.write_str(what),
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
    seen_as: u32,
    socket: OwnedFd,
    last_words: Option<ChildStderr>,
    memory: u64,
    deadlines: Deadlines,
    /// It has given an answer: it may keep something of what it read for that.
    pub(super) has_answered: bool,
    /// Files whose code it keeps, of each address space. It has a table of the same spaces, and forgets the same.
    spaces: SharedTable<u64, HashMap<FileId, UsedFile>>,
    /// Time on a CPU after which the kernel ends it.
    granted: Duration,
    /// Time on a CPU that it had taken when it was asked last.
    asked_at: Duration,
    /// It runs only where nobody else wants to.
    is_idle: bool,
    /// Until when that may make its answer late.
    idle_until: Instant,
    /// When it has to have said something.
    until: Instant,
}

impl Process {
    /// Starts one, and waits until it is confined. Before it confines itself, `seen_as` gets its number, as probes see it.
    pub(super) fn start(
        starter: &Starter,
        deadlines: Deadlines,
        seen_as: impl FnOnce(u32),
    ) -> Result<(Self, Confinement), Ended> {
        let (socket, theirs) = channel::pair().map_err(Ended::NotStarted)?;
        let mut command = Command::new(&starter.program);
        let pending = starter
            .numbers
            .ask_of(&mut command)
            .map_err(Ended::NotStarted)?;
        let child = command
            .args(&starter.words)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // What a person types to end the tracer is not for it.
            .process_group(0)
            .spawn()
            .map_err(Ended::NotStarted)?;
        // It holds the symbolizer's end of the socket, whose end is to show.
        drop(command);
        let mut process = Self::number_of(child, pending, socket, starter.memory, deadlines)?;
        seen_as(process.seen_as);
        let begin = Order::Begin(Allowance {
            memory: starter.memory,
            tracer: std::process::id(),
        });
        let ready = process.send(&begin, None).and_then(|()| process.listen());
        match ready {
            Ok(Report::Ready(confinement)) => Ok((process, confinement)),
            Ok(_) => Err(process.end(Ended::Unbelievable("it is no symbolizer"))),
            Err(ended) => Err(process.end(ended)),
        }
    }

    /// A process that was started, with its number. One whose number cannot be read is ended.
    fn number_of(
        mut child: Child,
        pending: PendingNumber,
        socket: OwnedFd,
        memory: u64,
        deadlines: Deadlines,
    ) -> Result<Self, Ended> {
        let seen_as = pending.read(child.id());
        let process = Self {
            last_words: child.stderr.take(),
            child,
            seen_as: *seen_as.as_ref().unwrap_or(&0),
            socket,
            memory,
            deadlines,
            has_answered: false,
            spaces: SharedTable::new(SPACES),
            granted: Duration::ZERO,
            asked_at: Duration::ZERO,
            is_idle: false,
            idle_until: Instant::now(),
            until: Instant::now() + deadlines.start,
        };
        match seen_as {
            Ok(_) => Ok(process),
            Err(error) => Err(process.end(Ended::Unnumbered(error))),
        }
    }

    /// It, if it has not ended.
    pub(super) fn living(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }

    /// The number of the process, as probes see it.
    pub(super) fn seen_as(&self) -> u32 {
        self.seen_as
    }

    /// The number of the process.
    #[cfg(test)]
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes the files whose code it keeps of an address space, about which a user is to ask.
    pub(super) fn take_space(&mut self, space: u64, payer: Payer) -> HashMap<FileId, UsedFile> {
        if let Some(files) = self.spaces.get(&space, payer) {
            return std::mem::take(files);
        }
        self.spaces.insert(space, HashMap::new(), payer);
        HashMap::new()
    }

    /// Remembers which these are.
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

    /// Has the kernel run it only where nobody else wants to.
    pub(super) fn be_idle(&mut self) {
        self.is_idle = self.is_idle || self.schedule(libc::SCHED_IDLE);
    }

    /// Has the kernel give it the same share of a CPU as others. Without `CAP_SYS_NICE` it stays where it is, unless its
    /// `RLIMIT_NICE` allows more (`kernel/sched/syscalls.c:user_check_sched_setscheduler`, v6.12).
    fn compete(&mut self) {
        self.is_idle = self.is_idle && !self.schedule(libc::SCHED_OTHER);
    }

    fn schedule(&self, policy: libc::c_int) -> bool {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the kernel reads the parameters, which are ours and outlive the call. The process is our child and not
        // waited for, so the number is its own.
        unsafe { libc::sched_setscheduler(self.number(), policy, &raw const parameters) == 0 }
    }

    /// Has it run on these CPUs alone. One that is started later inherits where the tracer runs.
    pub(super) fn confine(&self, cpus: &CpuSet) {
        // Where that fails it stays on the CPUs that were housekeeping CPUs until now.
        let _ = affinity::pin(self.number(), cpus);
    }

    /// Says something, and gives it its time from now on.
    pub(super) fn tell(
        &mut self,
        order: &Order,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), Ended> {
        if matches!(order, Order::Ask(..)) {
            let now = Instant::now();
            self.idle_until = now + self.deadlines.idle;
            self.until = now + self.deadlines.wall;
            self.grant_time();
        }
        self.send(order, descriptor)
    }

    fn send(&self, order: &Order, descriptor: Option<BorrowedFd<'_>>) -> Result<(), Ended> {
        let packet = encode(order).ok_or(Ended::Closed)?;
        channel::send(self.socket.as_fd(), &packet, descriptor).or(Err(Ended::Closed))
    }

    /// Waits for what it says.
    pub(super) fn listen(&mut self) -> Result<Report, Ended> {
        let packet = match self.receive() {
            Ok(Some(packet)) => packet,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Ended::Hung),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Ended::Unbelievable("a message of it is too long"));
            }
            Ok(None) | Err(_) => return Err(Ended::Closed),
        };
        let report: Report =
            decode(&packet).or(Err(Ended::Unbelievable("a message of it is none")))?;
        report.check().or(Err(Ended::Unbelievable(
            "a message of it is beyond all limits",
        )))?;
        Ok(report)
    }

    /// Waits for a packet. Who has no CPU to answer on competes for one.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.is_idle && self.idle_until < self.until {
            match channel::receive_plain(self.socket.as_fd(), self.idle_until) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => self.compete(),
                received => return received,
            }
        }
        channel::receive_plain(self.socket.as_fd(), self.until)
    }

    /// Ends it, and finds out why it ended, if it had before.
    pub(super) fn end(mut self, why: Ended) -> Ended {
        // Of one that has closed its socket: it is about to end by itself.
        let status = match why {
            Ended::Closed => self.gone_within(GONE),
            _ => None,
        };
        let _ = self.child.kill();
        let status = status.or_else(|| self.gone_within(GONE));
        match (why, status) {
            (Ended::Closed, Some(status)) => self.cause_of(status),
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

    /// What an exit status stands for.
    fn cause_of(&mut self, status: ExitStatus) -> Ended {
        // `std::alloc::handle_alloc_error` says this and aborts.
        const OUT_OF_MEMORY: &str = "memory allocation of";
        let mut words = Vec::new();
        if let Some(pipe) = &mut self.last_words {
            // All ends of the pipe are closed but ours.
            let _ = pipe.take(LAST_WORDS).read_to_end(&mut words);
        }
        match status.signal() {
            Some(libc::SIGXCPU) => Ended::CpuTime,
            Some(libc::SIGBUS) => Ended::Cut,
            Some(libc::SIGABRT) if String::from_utf8_lossy(&words).contains(OUT_OF_MEMORY) => {
                Ended::Memory(self.memory)
            }
            _ => Ended::Status(status),
        }
    }

    /// Moves the limit on its CPU time so far that one question has its time.
    fn grant_time(&mut self) {
        let used = self.cpu_time().unwrap_or(self.granted);
        self.asked_at = used;
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

    /// Its time on a CPU since it was asked last.
    pub(super) fn spent(&self) -> Option<Duration> {
        self.cpu_time()?.checked_sub(self.asked_at)
    }

    /// Its time on a CPU so far.
    fn cpu_time(&self) -> Option<Duration> {
        let mut clock = 0;
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: it writes the clock's number, which is ours and outlives the call.
        if unsafe { libc::clock_getcpuclockid(self.number(), &raw mut clock) } != 0 {
            return None;
        }
        // SAFETY: it writes the time, which is ours and outlives the call.
        if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
            return None;
        }
        let (seconds, nanoseconds) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
        Some(Duration::new(seconds, nanoseconds))
    }

    /// Its number, as the C library takes it.
    fn number(&self) -> libc::pid_t {
        // The kernel gives none beyond 2^22.
        self.child.id().cast_signed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone, mostly; else nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.gone_within(GONE);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// In a PID namespace the number that it has there is another process's for the probes.
    #[test]
    fn one_whose_number_cannot_be_read_is_ended() {
        let child = Command::new("sleep")
            .arg("100")
            .spawn()
            .expect("every Linux has sleep");
        let folder = format!("/proc/{}", child.id());
        let (socket, _theirs) = channel::pair().expect("a pair");
        let silent = PendingNumber::silent().expect("a pipe");
        let started = Process::number_of(child, silent, socket, 0, Deadlines::default());
        let said = started.expect_err("nothing was guessed").to_string();
        assert_eq!(
            said,
            "the kernel's number of it cannot be read: failed to fill whole buffer"
        );
        assert!(!Path::new(&folder).exists(), "it runs on");
    }
}
