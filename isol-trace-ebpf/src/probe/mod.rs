//! One file a subsystem, one small function a tracepoint.

pub(crate) mod entry;
pub(crate) mod fault;
pub(crate) mod irq;
pub(crate) mod isolation;
pub(crate) mod nmi;
pub(crate) mod sched;
pub(crate) mod send;
pub(crate) mod signal;
pub(crate) mod timer;
pub(crate) mod vector;
pub(crate) mod work;
