//! When an entry began, ended, and was interrupted.

use isol_trace_common::{activity::Activity, cause::Cause};

use crate::event::{
    entry::KernelEntry,
    ids::{MonoNanos, Nanos},
    origin::RawOrigin,
};

/// When the interrupt that is the cause of an entry arrived; of another cause when user mode was left.
pub(super) fn arrival(entry: &KernelEntry) -> MonoNanos {
    entry.cause_began.unwrap_or(entry.at)
}

/// Whether somebody asked after the entry's own interrupt had arrived, which cannot have provoked it.
pub(super) fn is_later(origin: Option<&RawOrigin>, entry: &KernelEntry) -> bool {
    let asked = origin.and_then(RawOrigin::sender).and_then(|it| it.at);
    asked.is_some_and(|at| at > arrival(entry))
}

/// When the entry's record ended; much later where that is not known.
pub(super) fn end_of(entry: &KernelEntry) -> MonoNanos {
    let Nanos(duration) = entry.duration.unwrap_or(Nanos(u64::MAX));
    MonoNanos(entry.at.0.saturating_add(duration))
}

/// When the last vector of this kind arrived in an entry.
pub(super) fn last_vector(entry: &KernelEntry, kind: fn(Cause) -> bool) -> Option<MonoNanos> {
    let own = kind(entry.cause.cause()).then_some(entry.cause_began.unwrap_or(entry.at));
    let is_kind = |number: u32| {
        let number = u8::try_from(number).ok();
        number.and_then(Cause::from_wire).is_some_and(kind)
    };
    entry
        .activities
        .iter()
        .filter(|item| item.kind == Activity::Vector && is_kind(item.number))
        .filter_map(|item| item.began)
        .chain(own)
        .max()
}
