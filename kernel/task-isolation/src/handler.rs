//! What a handler of the breach's signal may call: a system call, and nothing else. No memory is
//! ordered, no file read, and `errno` stays as it is.

use syscalls::Errno;
use thiserror::Error;

use crate::abi;

/// Why [`enter`] has not activated isolation again. Outside of the handler,
/// [`Isolated::reenter`](crate::Isolated::reenter) says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The CPU is not at rest: try again, for as long as it is worth it.
    #[error("the CPU is not at rest")]
    Again,
    /// A rule is broken, and trying again is no use.
    #[error("the thread cannot be isolated")]
    Never,
}

/// Activates isolation again, and tries once. Where it is still in force, as it is after a breach with
/// [`Flags::PERSISTENT`](crate::Flags::PERSISTENT), it stays so. The return from the handler is no breach.
pub fn enter() -> Result<(), Refusal> {
    match abi::enter() {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(Errno::EAGAIN) => Err(Refusal::Again),
        Err(_) => Err(Refusal::Never),
    }
}

/// Whether the thread is isolated.
#[must_use]
pub fn is_isolated() -> bool {
    abi::is_active() == Ok(true)
}
