//! The clock that records are stamped with, and where it lies on the calendar.

pub mod calendar;

use rustix::time::{ClockId, clock_gettime};

use crate::event::ids::MonoNanos;

pub use calendar::Anchor;

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
