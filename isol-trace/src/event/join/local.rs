//! What a CPU brings on itself: its timers, and the work that it puts off to an interrupt of its own.

use isol_trace_common::activity::Activity;

use super::times::is_later;
use crate::event::{
    entry::KernelEntry,
    origin::{Origin, RawOrigin},
};

/// Timers that expired in the entry, with who armed them. What `asked` has of that is taken out.
pub(super) fn expired(entry: &KernelEntry, asked: &mut [Option<RawOrigin>]) -> Vec<RawOrigin> {
    let mut origins = Vec::new();
    for (item, origin) in entry.activities.iter().zip(asked) {
        let found = match item.kind {
            Activity::Timer | Activity::Hrtimer if is_later(origin.as_ref(), entry) => {
                Origin::Kernel(None)
            }
            Activity::Timer | Activity::Hrtimer => origin.take().unwrap_or(Origin::Kernel(None)),
            Activity::Tick => Origin::Kernel(None),
            _ => continue,
        };
        // A list of activities is short.
        if !origins.contains(&found) {
            origins.push(found);
        }
    }
    origins.dedup_by(|later, earlier| {
        matches!(later, Origin::Kernel(None)) && matches!(earlier, Origin::Kernel(_))
    });
    origins
}

/// The work that the interrupt was raised for, with who raised it: this CPU on itself
/// (`arch/x86/kernel/irq_work.c:arch_irq_work_raise`, v6.12). That of another CPU arrives as a call-function interrupt.
/// What `asked` has of that is taken out.
pub(super) fn raised(entry: &KernelEntry, asked: &mut [Option<RawOrigin>]) -> Vec<RawOrigin> {
    let works = entry.activities.iter().zip(asked);
    let mut works = works.filter(|(item, _)| item.kind == Activity::IrqWork);
    let first = works
        .next()
        .filter(|(_, origin)| !is_later(origin.as_ref(), entry))
        .and_then(|(_, origin)| origin.take());
    vec![first.unwrap_or(Origin::Kernel(None))]
}
