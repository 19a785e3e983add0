//! The rules that can be broken.

use std::{fmt, io};

use thiserror::Error;

use crate::{Cpus, Quiesce};

/// Why a call was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not know the call at all.
    #[error(
        "Linux {release} has no task isolation: boot a kernel with the patches of isol-trace's \
         kernel/ folder (`cargo xtask kernel build`) and CONFIG_TASK_ISOLATION=y"
    )]
    Unsupported {
        /// The kernel's release.
        release: String,
    },
    /// The kernel knows task isolation, but not all that a configuration asks for.
    #[error("Linux {release} does not know {}", lacking.join(", "))]
    Unknown {
        /// The kernel's release.
        release: String,
        /// What it does not know.
        lacking: Vec<String>,
    },
    /// A thread that is isolated can neither be configured nor be isolated once more.
    #[error("the thread is isolated already: leave first")]
    AlreadyIsolated,
    /// The thread is not bound to exactly one CPU.
    #[error(
        "the thread may run on the CPUs {allowed}, and must be bound to one: sched_setaffinity, or \
         `taskset -c N`, with one of {isolable}"
    )]
    NotOneCpu {
        /// Where it may run.
        allowed: Cpus,
        /// Where it could be isolated.
        isolable: Cpus,
    },
    /// The CPU that the thread is bound to is not fully isolated.
    #[error("CPU {cpu} is not fully isolated: {lack}; those that are: {isolable}")]
    CpuNotIsolated {
        /// The thread's CPU.
        cpu: u32,
        /// What it lacks.
        lack: Lack,
        /// Where it could be isolated.
        isolable: Cpus,
    },
    /// The CPU could not be put to rest, however often it was tried.
    #[error(
        "the CPU could not be put to rest ({quiesce}) in {attempts} {}: {}",
        if *attempts == 1 { "attempt" } else { "attempts" },
        told(obstacles)
    )]
    NotQuiet {
        /// What was to be put to rest.
        quiesce: Quiesce,
        /// What is in the way, as far as it can be seen.
        obstacles: Vec<Obstacle>,
        /// How often it was tried.
        attempts: u64,
    },
    /// The thread has a configuration, by inheritance, that this crate does not know all of.
    #[error("the thread's configuration says more than this version of task-isolation knows")]
    NewerConfiguration,
    /// The kernel has no memory to keep the state in.
    #[error("the kernel has no memory for the thread's isolation")]
    NoMemory,
    /// What the kernel tells of the thread cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No rule is known that would explain it; a filter of system calls may have refused it.
    #[error("prctl(PR_TASK_ISOLATION) refuses {operation}, for no rule that is known")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What a CPU lacks that is not fully isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is not in `nohz_full=`, and keeps its tick.
    NohzFull,
    /// The scheduler may place other tasks there.
    Domain,
    /// Both.
    Both,
}

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nohz_full = "it is not in the boot argument nohz_full=";
        let domain = "neither isolcpus= nor an isolated cpuset partition keeps other tasks away";
        match self {
            Self::NohzFull => formatter.write_str(nohz_full),
            Self::Domain => formatter.write_str(domain),
            Self::Both => write!(formatter, "{nohz_full}, and {domain}"),
        }
    }
}

/// What keeps a CPU from being put to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Another thread that is runnable there.
    Thread {
        /// Its number.
        tid: i32,
        /// Its name.
        comm: String,
    },
    /// Something of this process that counts the time it runs, and takes the tick for that.
    CpuTimer(&'static str),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread { tid, comm } => {
                write!(formatter, "the thread {tid} ({comm}) is runnable there")
            }
            Self::CpuTimer(name) => write!(formatter, "this process has a CPU-time timer ({name})"),
        }
    }
}

fn told(obstacles: &[Obstacle]) -> String {
    if obstacles.is_empty() {
        return "nothing that can be seen from here is in the way; try for longer, and the \
                tracepoint timer:tick_stop says what takes the tick"
            .to_owned();
    }
    let told: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
    told.join("; ")
}
