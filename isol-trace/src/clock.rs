//! The clock that records are stamped with.

use rustix::time::{ClockId, clock_gettime};

use crate::event::ids::MonoNanos;

/// `CLOCK_MONOTONIC` as BPF reads it.
#[must_use]
pub fn monotonic() -> MonoNanos {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    MonoNanos(
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds),
    )
}
