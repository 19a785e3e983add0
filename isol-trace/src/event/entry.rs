//! A kernel entry as one record of the kernel side has it: numbers, addresses and names of threads.

use std::sync::Arc;

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    record::{
        ACTIVITY_IS_CAUSE, ACTIVITY_PERF_EVENT, ACTIVITY_TIMED, ActivityRecord, End, Entry,
        FLAG_LATE_SYSCALL, FLAG_NO_DURATION, FLAG_SECTION,
    },
};

use super::{
    decode::EntryView,
    ids::{Address, Cpu, MonoNanos, Nanos, Tid},
    model::{CauseDetail, TaskId},
    thread_name::thread_name,
};
use crate::arch::{PageFault, page_fault};

/// One kernel entry of a watched task. [`super::join`] finds who provoked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEntry {
    /// When the task left user mode.
    pub at: MonoNanos,
    /// The CPU.
    pub cpu: Cpu,
    /// How long until the end; `None` where the end was not seen.
    pub duration: Option<Nanos>,
    /// How much of that the CPU idled.
    pub idle: Nanos,
    /// How it ended.
    pub end: End,
    /// Fell inside an isolated section.
    pub section: bool,
    /// The task.
    pub task: TaskId,
    /// Why.
    pub cause: CauseDetail,
    /// Net time of the cause's own handler, where it is a vector or interrupt.
    pub cause_net: Option<Nanos>,
    /// When the cause's own handler began, where it is a vector.
    pub cause_began: Option<MonoNanos>,
    /// When the CPU had last gone to user mode, where the cause is a vector.
    pub user_since: Option<MonoNanos>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// What the kernel then did, in the order in which it began, without the cause's own handler.
    pub activities: Vec<KernelActivity>,
    /// Activities that the record had no room for.
    pub dropped_activities: u8,
}

/// One thing the kernel did inside an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelActivity {
    /// What kind of work.
    pub kind: Activity,
    /// The kind's number: vector (as a cause), interrupt, softirq, thread, signal,
    /// flush reason, tick dependency; 0 for kinds that have none.
    pub number: u32,
    /// The function, handler or fault address.
    pub address: Option<Address>,
    /// The csd, work item or timer itself, or when an `irq_work` was raised: by which its sender is found.
    pub key: Option<Address>,
    /// When it began (`vector` only).
    pub began: Option<MonoNanos>,
    /// The name of the thread that ran (`switch` only).
    pub comm: Option<Arc<str>>,
    /// Its time without what nested in it; `None` where only one end was seen.
    pub net: Option<Nanos>,
    /// It was the timer of a perf event (`hrtimer` only).
    pub perf_event: Option<PerfEvent>,
}

/// The perf event that a timer samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfEvent {
    /// Whose it is; `None` where the kernel has no owner for it.
    pub owner: Option<TaskId>,
}

impl KernelEntry {
    /// What a record tells. `name` puts a name to a thread's number: to `entry.tid` as to a thread
    /// whose entries come again and again, to others as to one that need not come again.
    pub(super) fn of(
        cpu: Cpu,
        view: &EntryView<'_>,
        task: TaskId,
        name: impl Fn(Tid) -> TaskId,
    ) -> Self {
        let entry = view.entry;
        let own = view
            .activities
            .iter()
            .find(|item| item.flags & ACTIVITY_IS_CAUSE != 0);
        Self {
            at: MonoNanos(entry.opened_ns),
            cpu,
            duration: duration(entry),
            idle: Nanos(view.idle_ns),
            end: view.end,
            section: entry.flags & FLAG_SECTION != 0,
            task,
            cause: cause(view),
            cause_net: own.and_then(net),
            cause_began: own.and_then(began),
            user_since: view
                .cause
                .is_vector()
                .then_some(entry.subject)
                .filter(|&since| since != 0)
                .map(MonoNanos),
            ip: Address(entry.ip),
            activities: view
                .activities
                .iter()
                .filter(|item| item.flags & ACTIVITY_IS_CAUSE == 0)
                .filter_map(|item| activity(item, &name))
                .collect(),
            dropped_activities: entry.dropped_activities,
        }
    }

    /// When it ended; where that was not seen, when it began.
    #[must_use]
    pub fn seen_until(&self) -> MonoNanos {
        let Nanos(duration) = self.duration.unwrap_or(Nanos(0));
        MonoNanos(self.at.0.saturating_add(duration))
    }
}

/// How long an entry took; `None` where its end was not seen.
pub(super) fn duration(entry: &Entry) -> Option<Nanos> {
    (entry.flags & FLAG_NO_DURATION == 0).then_some(Nanos(entry.duration_ns))
}

/// Why the kernel was entered, with what belongs to that.
pub(super) fn cause(view: &EntryView<'_>) -> CauseDetail {
    let entry = view.entry;
    let subject = (entry.subject != 0).then_some(Address(entry.subject));
    match view.cause {
        // A number that only shows at the return is the 32-bit gate's.
        Cause::Syscall if entry.flags & FLAG_LATE_SYSCALL != 0 && entry.number != u32::MAX => {
            CauseDetail::CompatSyscall {
                number: entry.number,
            }
        }
        Cause::Syscall => CauseDetail::Syscall {
            number: (entry.number != u32::MAX).then_some(entry.number),
            args: view.args.copied(),
        },
        Cause::PageFault => {
            let PageFault {
                write,
                user,
                fetch,
                protection,
            } = page_fault(entry.number);
            CauseDetail::PageFault {
                address: Address(entry.subject),
                write,
                user,
                fetch,
                protection,
            }
        }
        Cause::Exception => CauseDetail::Exception {
            trap: Some(entry.number),
        },
        Cause::DeviceIrq => CauseDetail::DeviceIrq {
            irq: entry.number,
            handler: subject,
        },
        Cause::Nmi => CauseDetail::Nmi { handler: subject },
        other => CauseDetail::Plain(other),
    }
}

/// One thing that the kernel did; of a perf event's timer with whose it is.
fn activity(item: &ActivityRecord, name: impl Fn(Tid) -> TaskId) -> Option<KernelActivity> {
    // Decoding has checked the word; `None` does not occur.
    let kind = Activity::from_wire(item.kind)?;
    let [first, second] = item.subject;
    let switch = kind == Activity::Switch;
    // The number is the owner's then.
    let is_perf_event = item.flags & ACTIVITY_PERF_EVENT != 0;
    Some(KernelActivity {
        kind,
        number: if is_perf_event { 0 } else { item.number },
        address: (!switch && first != 0).then_some(Address(first)),
        key: matches!(
            kind,
            Activity::Csd
                | Activity::Work
                | Activity::Timer
                | Activity::Hrtimer
                | Activity::IrqWork
        )
        .then_some(second)
        .filter(|&key| key != 0)
        .map(Address),
        began: began(item),
        comm: switch.then(|| thread_name(item.subject)),
        net: net(item),
        perf_event: is_perf_event.then(|| PerfEvent {
            owner: (item.number != 0).then(|| name(Tid(item.number))),
        }),
    })
}

/// The time of what both ends were seen of.
fn net(item: &ActivityRecord) -> Option<Nanos> {
    (item.flags & ACTIVITY_TIMED != 0).then_some(Nanos(item.net_ns))
}

/// When a vector began.
fn began(item: &ActivityRecord) -> Option<MonoNanos> {
    let [_, at] = item.subject;
    (item.kind == Activity::Vector as u8 && at != 0).then_some(MonoNanos(at))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An entry to change.
    pub(crate) fn entry() -> KernelEntry {
        KernelEntry {
            at: MonoNanos(0),
            cpu: Cpu(0),
            duration: None,
            idle: Nanos(0),
            end: End::Return,
            section: false,
            task: TaskId {
                pid: None,
                tid: Tid(7),
                comm: None,
            },
            cause: CauseDetail::Plain(Cause::Unknown),
            cause_net: None,
            cause_began: None,
            user_since: None,
            ip: Address(0),
            activities: Vec::new(),
            dropped_activities: 0,
        }
    }
}
