//! From what was typed to a valid plan: nothing behind this needs checking again.
//!
//! Checks come in the order in which a person can act on them: what was typed
//! ([`crate::cli`]), which CPUs, processes and programs it names, what this host allows,
//! and last, because it leaves a trace, whether the log can be written.

pub mod command;
pub mod doctor;
pub mod explain;
pub mod output;

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use crate::{
    cli::{
        RecordArgs, TopArgs, WatchArgs,
        value::{Comm, RingSize},
    },
    event::{
        ids::{Cpu, Pid},
        model::Detection,
        signal::Signal,
    },
    host::{
        Host, HostError, cpu_list::CpuSet, detection::detection, identity::Identity,
        kernel::KernelError, privilege::PrivilegeError, process::ProcessError,
        watched::WatchedError,
    },
    printable::printable,
};
use command::{CommandError, CommandPlan};
use output::{Output, OutputError};

/// How many processes, and how many names, can be watched: what the maps of the programs hold.
pub const MAX_FILTERS: usize = 256;

/// How long a breach waits for its names where somebody waits for it.
const NAMES_WAIT: Duration = Duration::from_millis(25);

/// What every tracing command needs to know.
#[derive(Clone, Debug)]
pub struct TracePlan {
    /// CPUs under watch, all online.
    pub watched: CpuSet,
    /// Every other online CPU.
    pub housekeeping: CpuSet,
    /// The part of the housekeeping CPUs that our own threads run on: those that nothing
    /// isolates, where there are any.
    pub tracer: CpuSet,
    /// Isolated CPUs that were left out, being offline.
    pub offline: CpuSet,
    /// CPUs on which the kernel marks entries itself, if it is built to.
    pub nohz_full: CpuSet,
    /// CPUs that the named processes may run on as well, and that are neither isolated nor watched.
    pub elsewhere: CpuSet,
    /// CPUs that were named, or those of named processes; `None` for every isolated one, whichever that is at the time.
    pub asked: Option<CpuSet>,
    /// One more than the highest number that a CPU of this host can have.
    pub possible_cpus: u32,
    /// Processes and threads that are watched; empty for all. Sorted, without repetition,
    /// at most [`MAX_FILTERS`].
    pub pids: Vec<Pid>,
    /// Names of threads that are watched; empty for all. Sorted, without repetition, at most
    /// [`MAX_FILTERS`].
    pub comms: Vec<Comm>,
    /// Bytes of each watched CPU's ring: a power of two, a multiple of the page.
    pub ring_bytes: u32,
    /// Measure the run time of the programs.
    pub bpf_stats: bool,
    /// Keep the user stacks of senders.
    pub user_stacks: bool,
    /// Answer a breach inside an isolated section with this signal.
    pub strict: Option<Signal>,
    /// Bytes that the process may take which reads programs' files.
    pub symbol_memory: u64,
    /// Directories in which debug information is looked for besides the usual ones. All exist.
    pub debug_dirs: Vec<PathBuf>,
    /// How long a breach waits for names that take reading files; without them it goes then.
    pub names_wait: Duration,
    /// Names of host and kernel.
    pub identity: Identity,
}

/// A valid `record`.
#[derive(Debug)]
pub struct RecordPlan {
    /// What is traced.
    pub trace: TracePlan,
    /// Where the log goes: already opened, not yet touched.
    pub output: Output,
    /// When to stop.
    pub duration: Option<Duration>,
    /// The account starts with the command's own prctl. Only with a command.
    pub from_prctl: bool,
    /// Attach, print the verdicts, detach.
    pub dry_run: bool,
    /// What to start on the watched CPUs.
    pub command: Option<CommandPlan>,
}

/// A valid `top`.
#[derive(Clone, Debug)]
pub struct TopPlan {
    /// What is traced.
    pub trace: TracePlan,
}

/// Why there is no valid plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The CPUs.
    #[error(transparent)]
    Watched(#[from] WatchedError),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nobody who could say that it is isolated.
    #[error(
        "--from-prctl starts the account when CMD says that it is isolated, and there is no CMD: name it after --, as in `isol-trace record --from-prctl -- ./my-task`"
    )]
    PrctlWithoutCommand,
    /// Nobody to be strict with.
    #[error(
        "--strict signals CMD at its first breach, and there is no CMD: name it after --, as in `isol-trace record --strict -- ./my-task`"
    )]
    StrictWithoutCommand,
    /// Nothing to tell of.
    #[error(
        "explain reads a log or starts a command: `isol-trace explain LOG` or `isol-trace explain -- CMD`"
    )]
    NothingToExplain,
    /// The story and the log in one stream.
    #[error("explain tells on stdout what happened: name a file for the log, as in `-o log.jsonl`")]
    ExplainToStdout,
    /// The command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// More filters than the programs hold.
    #[error("{option} was given {given} times, and the most is {MAX_FILTERS}")]
    Filters {
        /// The option.
        option: &'static str,
        /// How many times, without repetition.
        given: usize,
    },
    /// A ring that ends inside a page.
    #[error("--ring-size {size}: a ring is made of whole pages, of {page} bytes on this host")]
    RingSize {
        /// What was asked for.
        size: RingSize,
        /// The page's size.
        page: usize,
    },
    /// Nowhere to look for debug information.
    #[error(
        "--debug-dir {}: there is no such directory; it holds what /usr/lib/debug holds, such as .build-id",
        printable(&.0.to_string_lossy())
    )]
    DebugDir(PathBuf),
    /// A dashboard without a screen.
    #[error(
        "top draws on a terminal, and stdout is none: use `isol-trace record` for a file or a pipe"
    )]
    NoTerminal,
    /// The rights of this process.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A file of the host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The log.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl TracePlan {
    fn new(
        args: WatchArgs,
        ring_size: RingSize,
        bpf_stats: bool,
        host: &Host,
    ) -> Result<Self, PlanError> {
        let page = rustix::param::page_size();
        // Both are powers of two.
        if (ring_size.bytes() as usize) < page {
            return Err(PlanError::RingSize {
                size: ring_size,
                page,
            });
        }
        if let Some(path) = args.debug_dir.iter().find(|path| !path.is_dir()) {
            return Err(PlanError::DebugDir(path.clone()));
        }
        let pids = distinct("--pid", args.pid)?;
        let comms = distinct("--comm", args.comm)?;
        let mut named = args.cpus;
        let mut elsewhere = CpuSet::new();
        if named.is_none() && !pids.is_empty() {
            for &pid in &pids {
                host.require_process(pid)?;
            }
            if let Some((watched, others)) = host.watched_of(&pids)? {
                (named, elsewhere) = (Some(watched), others);
            }
        }
        let watched = host.watched(named.as_ref())?;
        for &pid in &pids {
            host.require_process(pid)?;
        }
        let highest = host.possible()?.iter().last();
        Ok(Self {
            watched: watched.watched,
            housekeeping: watched.housekeeping,
            tracer: watched.tracer,
            offline: watched.offline,
            nohz_full: watched.nohz_full,
            asked: named,
            elsewhere,
            possible_cpus: highest.map_or(0, |cpu| cpu.0 + 1),
            pids,
            comms,
            ring_bytes: ring_size.bytes(),
            bpf_stats,
            user_stacks: args.user_stacks,
            strict: None,
            symbol_memory: args.symbol_memory.bytes(),
            debug_dirs: args.debug_dir,
            names_wait: NAMES_WAIT,
            identity: host.identity()?,
        })
    }

    /// How the entries of each watched CPU are found, given whether this kernel has the
    /// tracepoint `user_exit`.
    #[must_use]
    pub fn detection(&self, has_user_exit: bool) -> Vec<(Cpu, Detection)> {
        self.watched
            .iter()
            .map(|cpu| (cpu, detection(cpu, &self.nohz_full, has_user_exit)))
            .collect()
    }
}

/// The values of an option that may be repeated: in order, each once.
fn distinct<T: Ord>(option: &'static str, mut values: Vec<T>) -> Result<Vec<T>, PlanError> {
    values.sort_unstable();
    values.dedup();
    if values.len() > MAX_FILTERS {
        return Err(PlanError::Filters {
            option,
            given: values.len(),
        });
    }
    Ok(values)
}

/// What the host has to allow and offer, whatever is traced.
fn require_probes(host: &Host) -> Result<(), PlanError> {
    host.require_privilege()?;
    host.require_probes()?;
    Ok(())
}

impl RecordPlan {
    /// Validates a `record`. `search_path` is the variable `PATH`; where stdout is a terminal, a log that
    /// nobody named a place for is lines for people.
    pub fn new(
        args: RecordArgs,
        host: &Host,
        search_path: Option<&OsStr>,
        stdout_is_terminal: bool,
    ) -> Result<Self, PlanError> {
        if args.section.from_prctl && args.command.is_empty() {
            return Err(PlanError::PrctlWithoutCommand);
        }
        if args.section.strict.is_some() && args.command.is_empty() {
            return Err(PlanError::StrictWithoutCommand);
        }
        let mut trace = TracePlan::new(args.watch, args.ring_size, args.bpf_stats, host)?;
        trace.strict = args.section.strict;
        let command = CommandPlan::find(args.command, search_path)?;
        require_probes(host)?;
        Ok(Self {
            trace,
            command,
            output: match args.output {
                Some(path) => Output::open(path, args.force)?,
                None => Output::unnamed(stdout_is_terminal),
            },
            duration: args.duration,
            from_prctl: args.section.from_prctl,
            dry_run: args.dry_run,
        })
    }
}

impl TopPlan {
    /// Validates a `top`.
    pub fn new(args: TopArgs, host: &Host, stdout_is_terminal: bool) -> Result<Self, PlanError> {
        let trace = TracePlan::new(args.watch, RingSize::default(), false, host)?;
        if !stdout_is_terminal {
            return Err(PlanError::NoTerminal);
        }
        require_probes(host)?;
        Ok(Self { trace })
    }
}

#[cfg(test)]
mod tests;
