//! One file a subsystem, one small function a tracepoint. What only one architecture has is in its folder.

pub(crate) mod entry;
pub(crate) mod irq;
pub(crate) mod isolation;
pub(crate) mod sched;
pub(crate) mod send;
pub(crate) mod signal;
pub(crate) mod timer;
pub(crate) mod tlb;
pub(crate) mod work;
#[cfg(traced_arch = "x86_64")]
pub(crate) mod x86_64;
