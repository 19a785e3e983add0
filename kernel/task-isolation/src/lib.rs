//! Task isolation for programs: a safe wrapper of `PR_TASK_ISOLATION`, the prctl that the patches in
//! `kernel/` add to Linux.
//!
//! A thread that has a CPU for itself asks that what is left of the kernel's work there be done now,
//! and to be told when the kernel is entered nevertheless. Three things are kept apart, as in the
//! kernel: [`features`] are what this kernel can do; a configuration is what the thread wants to happen
//! once it is isolated ([`configure`], [`Config`]); an activation makes it happen ([`enter`],
//! [`Isolated`]).
//!
//! ```no_run
//! use std::time::Duration;
//! use task_isolation::{Config, End, OnBreach, Signal, configure, enter_within};
//!
//! # fn compute() {}
//! # fn pin() {}
//! # fn main() -> Result<(), task_isolation::Error> {
//! pin(); // to one of `task_isolation::cpus()`, with all memory locked
//! configure(&Config::new(OnBreach::Signal(Signal::USR1)))?;
//! let isolated = enter_within(Duration::from_secs(1))?;
//! compute();
//! match isolated.leave() {
//!     End::Undisturbed => println!("the kernel was not entered"),
//!     End::Broken => println!("it was: a handler of SIGUSR1 has seen it"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What goes on underneath
//!
//! An activation ends by itself with the first breach, unless [`Flags::PERSISTENT`] is set, and when the
//! thread's affinity is changed. [`Isolated`] is therefore no proof that the thread *is* isolated, only
//! that it was: [`Isolated::is_active`] asks, [`Isolated::reenter`] activates again, and
//! [`Isolated::leave`] says how it ended. A signal handler may do so itself: see [`handler`].
//!
//! Every system call in an isolated section is a breach: a write to a log, memory that the allocator
//! has to order, a panic that prints. The calls of this crate are none, save where they say so. Nor is a
//! page fault: lock what the section touches (`mlockall`).
//!
//! # Errors
//!
//! The kernel answers `EINVAL` and `EAGAIN`. This crate looks at what can be seen from user space and says
//! which rule was broken: [`Error`]. On a kernel without task isolation every call that can fail says
//! [`Error::Unsupported`].
//!
//! # Where things are
//!
//! - `abi`: the kernel's numbers and structures, and the call;
//! - `config`: what a thread can ask for, and what a kernel can do;
//! - `task`: the calls, and the guard of an activation;
//! - [`handler`]: what a signal handler may call;
//! - `facts`: what can be seen from user space of the rules;
//! - `error`: the rules that can be broken, and `explain`, how one is found from the kernel's answer;
//! - `cpus`: sets of CPUs.

mod abi;
mod config;
mod cpus;
mod error;
mod explain;
mod facts;
pub mod handler;
mod task;

pub use self::{
    config::{Config, Features, Flags, Modes, OnBreach, Quiesce, Signal},
    cpus::Cpus,
    error::{Error, Lack, Obstacle},
    task::{
        End, Isolated, breaches, configuration, configure, cpus, enter, enter_within, features,
        is_isolated,
    },
};
