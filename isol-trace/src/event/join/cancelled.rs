//! Timers that another CPU cancelled, or took elsewhere: a CPU sets only its own clock, and the interrupt
//! comes as if nothing had happened (`kernel/time/hrtimer.c:remove_hrtimer`, v6.12 and v7.2).

use isol_trace_common::{activity::Activity, cause::Cause};

use super::{
    same::same,
    times::{arrival, last_vector},
};
use crate::event::{
    entry::{KernelActivity, KernelEntry},
    ids::{Cpu, MonoNanos},
    origin::RawSender,
    per_cpu::PerCpu,
};

/// Timers of a CPU that are remembered: those that would have been due first.
const MAX_CANCELLED: usize = 16;

/// How much too early a clock may be: an emulated one was seen to be that, and the kernel sets it once more.
const EARLY: u64 = 1_000_000;

/// One that will not run.
#[derive(Debug)]
struct Cancelled {
    due: MonoNanos,
    by: Box<RawSender>,
}

/// Those of every watched CPU.
#[derive(Debug, Default)]
pub(super) struct Cancellations {
    by_cpu: PerCpu<Vec<Cancelled>>,
}

impl Cancellations {
    /// Takes in that somebody cancelled a timer of a CPU, which was due then.
    pub(super) fn put(&mut self, cpu: Cpu, due: MonoNanos, by: Box<RawSender>) {
        let list = self.by_cpu.of(cpu);
        let place = list.partition_point(|other| other.due <= due);
        list.insert(place, Cancelled { due, by });
        list.truncate(MAX_CANCELLED);
    }

    /// Who left the timer interrupt behind that began this entry; `None` where it ran a timer, or it is not
    /// known. Each timer interrupt looks at the timers anew: what was cancelled before it, it has answered.
    pub(super) fn take(&mut self, entry: &KernelEntry) -> Option<Box<RawSender>> {
        let arrived = last_vector(entry, |cause| cause == Cause::LocalTimer)?;
        let list = self.by_cpu.of(entry.cpu);
        let is_before = |one: &mut Cancelled| one.by.at.is_some_and(|at| at <= arrived);
        let answered: Vec<_> = list.extract_if(.., is_before).collect();
        let ran = |item: &KernelActivity| {
            matches!(
                item.kind,
                Activity::Timer | Activity::Hrtimer | Activity::Tick
            )
        };
        if entry.cause.cause() != Cause::LocalTimer || entry.activities.iter().any(ran) {
            return None;
        }
        // In user mode an interrupt is taken when it comes: the clock was set for a moment since.
        let since = entry.user_since?;
        let until = MonoNanos(arrival(entry).0.saturating_add(EARLY));
        let mut possible = answered
            .into_iter()
            .filter(|one| (since..=until).contains(&one.due));
        let mut first = possible.next()?.by;
        if possible.any(|other| !same(&first, &other.by)) {
            return None;
        }
        first.inferred = true;
        Some(first)
    }
}
