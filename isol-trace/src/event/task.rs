//! Threads, and whose they are.

use std::sync::Arc;

use super::ids::{Pid, Tid};

/// A thread as the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    /// Its process; `None` where the record that names it was lost.
    pub pid: Option<Pid>,
    /// The thread.
    pub tid: Tid,
    /// Its name at the time; `None` where the record that names it was lost.
    pub comm: Option<Arc<str>>,
}

/// Whose a thread is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// Its process.
    pub pid: Pid,
    /// A worker of `io_uring` or another of the kernel's in that process: it never is in user mode.
    pub worker: bool,
    /// The process that made its process, by number and name; `None` where that is not known.
    pub parent: Option<(Pid, Arc<str>)>,
}
