//! The join: which sender belongs to which breach.
//!
//! Pure. Senders' records ([`Join::sent`]) must be taken in before the breaches that they led to
//! ([`Join::join`]): a sender writes its record before the receiver can see anything of it.
//!
//! # By pointer
//!
//! A cross-call, a work item and a timer are known by their address on both sides. One address
//! serves again and again: the csd of a CPU's calls to another one is free once its function
//! is about to run (`kernel/smp.c:__flush_smp_call_function_queue`, v6.12), and what ran while
//! nobody looked (between two tasks, or in an entry whose record was lost or filtered) leaves a
//! sender behind. Four rules keep that from naming the wrong one:
//!
//! - what was sent since the CPU last went to user mode cannot have run before this entry,
//!   and is preferred to what is older, as far as there are more senders than runs;
//! - a cross-call that ran was sent before the last call-function interrupt of the entry: the
//!   same csd may be sent again while its function still runs;
//! - a call-function interrupt empties the CPU's whole queue: what was asked for before it and did
//!   not show in it is forgotten, at the second time where its function is one that shows: the
//!   sender speaks before it queues, and an interrupt for another one may come between;
//! - where two different senders remain, it is neither.
//!
//! Nobody who asked after the interrupt that began the entry had arrived has provoked it: what such
//! a sender asked for, and ran in a later interrupt of the same entry, is that activity's origin.
//!
//! Who raised the interrupt for a CPU's own `irq_work` is known by the moment, which the activity has too; who
//! cancelled the timer of an interrupt that finds none, by when the timer was due.
//!
//! A task that is switched to was woken by whoever woke it last, if that was one and the same
//! in this entry. Where it was made or moved there, who did that takes the place of whoever sent the interrupt for it.
//!
//! # By order
//!
//! A reschedule carries no pointer, and neither does a call of an `irq_work` or of a batch of
//! wake-ups, whose functions pass no tracepoint. Those are all that was sent before the interrupt
//! arrived and has not been answered since, and are marked as inferred. What was sent before user
//! mode is among them only if every entry since then is known.

mod arrivals;
mod cancelled;
mod local;
mod same;
mod times;
mod waiting;
mod wakes;

use std::collections::HashSet;

use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    record::Kin,
    send::{SENDER_UNSURE, SENT_BY_INTERRUPT, SENT_CONDITIONALLY, Send, Via},
};

use self::{
    arrivals::Kinship,
    cancelled::Cancellations,
    local::{expired, raised},
    same::{same, same_task},
    times::{arrival, end_of, is_later, last_vector},
    waiting::{RequestKind, Runs, Senders, Waiting},
    wakes::Wakes,
};
use super::{
    entry::{KernelActivity, KernelEntry},
    ids::{Address, Cpu, MonoNanos, Pid, Seq, Tid},
    origin::{Origin, RawOrigin, RawSender},
    own::OwnProcesses,
    per_cpu::PerCpu,
    raw::{ActivityOrigin, RawBreach},
    task::TaskId,
    thread_name::thread_name_of,
};

/// A time in which no entry of a CPU was missed.
#[derive(Clone, Copy, Debug)]
struct Known {
    since: MonoNanos,
    until: MonoNanos,
}

/// Senders without their breaches.
#[derive(Debug)]
pub struct Join {
    own: OwnProcesses,
    waiting: Senders,
    wakes: Wakes,
    kin: Kinship,
    cancelled: Cancellations,
    /// Functions of cross-calls that have shown when they ran.
    shown: HashSet<Address>,
    /// What is known of each CPU without a gap.
    known: PerCpu<Option<Known>>,
    /// The last of several who sent the reschedule interrupt of each CPU's last entry by one.
    spare: PerCpu<Option<Waiting>>,
}

impl Join {
    /// Nobody waits. `own` are the tracer's processes.
    #[must_use]
    pub fn new(own: impl Into<OwnProcesses>) -> Self {
        Self {
            own: own.into(),
            waiting: Senders::default(),
            wakes: Wakes::default(),
            kin: Kinship::default(),
            cancelled: Cancellations::default(),
            shown: HashSet::new(),
            known: PerCpu::default(),
            spare: PerCpu::default(),
        }
    }

    /// Senders that were forgotten for want of room, before their breach came.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.waiting.evicted() + self.wakes.evicted()
    }

    /// Takes in what was asked of a watched CPU.
    pub fn sent(&mut self, via: Via, send: &Send) {
        let (target, at) = (Cpu(send.target), MonoNanos(send.at_ns));
        let key = match via {
            Via::CrossCall => (RequestKind::Calls(target), send.key),
            Via::Reschedule => (RequestKind::Reschedules(target), 0),
            Via::IrqWork => (RequestKind::Raised(target), 0),
            Via::Work => (RequestKind::Work, send.key),
            Via::Timer | Via::Hrtimer => (RequestKind::Timers, send.key),
            // Not sent: the activity says it.
            Via::PerfEvent => return,
            Via::Wake | Via::Fork | Via::Move => {
                return self.wakes.put(send.key, at, Box::new(sender(via, send)));
            }
            Via::Cancel => {
                let (due, by) = (MonoNanos(send.key), Box::new(sender(via, send)));
                return self.cancelled.put(target, due, by);
            }
        };
        let conditional = send.flags & SENT_CONDITIONALLY != 0;
        self.waiting
            .put(key, at, Box::new(sender(via, send)), conditional);
    }

    /// Takes in whose a task is.
    pub fn kin(&mut self, kin: &Kin) {
        self.kin.put(kin);
    }

    /// Finds who provoked an entry, in the order in which they did, and who asked for what
    /// else ran in it.
    pub fn join(&mut self, seq: Seq, entry: KernelEntry) -> RawBreach {
        let called = last_vector(&entry, Cause::is_call);
        let mut asked = self.asked(&entry, called);
        let mut origins = self.origins(&entry, called, &mut asked);
        self.follow(&entry);
        let mut asked: Vec<_> = entry
            .activities
            .iter()
            .zip(asked)
            .map(|(item, origin)| ActivityOrigin {
                origin,
                kin: (item.kind == Activity::Switch)
                    .then(|| self.kin.of(item.number))
                    .flatten(),
            })
            .collect();
        for (item, ActivityOrigin { origin, kin }) in entry.activities.iter().zip(&mut asked) {
            if item.kind == Activity::Switch
                && let Some(came) = origin.as_mut().and_then(Origin::sender_mut)
            {
                arrivals::explain(item, kin.as_ref(), came, &mut origins);
            }
        }
        for (item, ActivityOrigin { origin, .. }) in entry.activities.iter().zip(&mut asked) {
            // Who woke a task has mostly sent the interrupt too.
            let is_named = |asked: &RawSender| {
                let mut named = origins.iter().filter_map(Origin::sender);
                named.any(|one| same_task(one, asked))
            };
            if item.kind == Activity::Switch
                && origin
                    .as_ref()
                    .and_then(Origin::sender)
                    .is_some_and(is_named)
            {
                *origin = None;
            }
        }
        RawBreach {
            seq,
            entry,
            asked,
            origins,
        }
    }

    /// Takes a breach into what is known of its CPU.
    fn follow(&mut self, entry: &KernelEntry) {
        let until = end_of(entry);
        let since = match (entry.duration, entry.dropped_activities) {
            (None, _) => None,
            // What its list had no room for may have been an interrupt.
            (Some(_), 1..) => Some(until),
            (Some(_), 0) => Some(self.known_before(entry).unwrap_or(entry.at)),
        };
        *self.known.of(entry.cpu) = since.map(|since| Known { since, until });
    }

    /// Since when every entry of the breach's CPU before it is known, if the last of them was.
    fn known_before(&self, entry: &KernelEntry) -> Option<MonoNanos> {
        let known = self.known.get(entry.cpu)?.as_ref()?;
        let user_since = entry.user_since?;
        (known.until >= user_since).then_some(known.since)
    }

    /// Who asked for each activity, where that is known.
    /// `called` is when its last call-function interrupt arrived.
    fn asked(&mut self, entry: &KernelEntry, called: Option<MonoNanos>) -> Vec<Option<RawOrigin>> {
        let mut asked = Vec::with_capacity(entry.activities.len());
        for (place, item) in entry.activities.iter().enumerate() {
            let rest = entry.activities.iter().skip(place);
            let to_come = rest.filter(|one| (one.kind, one.key) == (item.kind, item.key));
            let ran = |until: MonoNanos| Runs {
                until,
                since: entry.user_since,
                times: to_come.count(),
            };
            asked.push(match (item.kind, item.key) {
                (Activity::Csd, Some(Address(key))) => {
                    self.shown.extend(item.address);
                    self.waiting
                        .take(
                            (RequestKind::Calls(entry.cpu), key),
                            &ran(called.unwrap_or(end_of(entry))),
                        )
                        .map(|sender| self.remote(sender))
                }
                (Activity::Work, Some(Address(key))) => self
                    .waiting
                    .take((RequestKind::Work, key), &ran(end_of(entry)))
                    .map(|sender| self.kernel(sender)),
                (Activity::Hrtimer, _) if item.perf_event.is_some() => {
                    of_perf_event(item).map(|sender| self.kernel(sender))
                }
                (Activity::Timer | Activity::Hrtimer, Some(Address(key))) => self
                    .waiting
                    .armed(key, entry)
                    .map(|sender| self.kernel(sender)),
                (Activity::IrqWork, Some(Address(raised))) => self
                    .waiting
                    .raised(entry.cpu, MonoNanos(raised))
                    .map(|sender| self.kernel(sender)),
                (Activity::Switch, _) => self.wakes.waker(item, entry).map(|sender| {
                    if sender.cpu == Some(entry.cpu) {
                        self.kernel(sender)
                    } else {
                        self.remote(sender)
                    }
                }),
                _ => None,
            });
        }
        asked
    }

    /// Who provoked a breach. What `asked` has of that is taken out.
    fn origins(
        &mut self,
        entry: &KernelEntry,
        called: Option<MonoNanos>,
        asked: &mut [Option<RawOrigin>],
    ) -> Vec<RawOrigin> {
        let called = called.map_or_else(Vec::new, |at| self.calls(entry, at, asked));
        let rescheduled = self.reschedules(entry);
        let cancelled = self.cancelled.take(entry);
        let mut origins = match entry.cause.cause() {
            Cause::Syscall | Cause::PageFault | Cause::Exception => vec![Origin::Task],
            Cause::DeviceIrq => vec![Origin::Device],
            Cause::CallFunction | Cause::CallFunctionSingle => called,
            Cause::Reschedule => rescheduled,
            Cause::LocalTimer => match cancelled {
                Some(by) => vec![self.remote(by)],
                None => expired(entry, asked),
            },
            Cause::IrqWork => raised(entry, asked),
            Cause::PlatformIpi
            | Cause::Thermal
            | Cause::Threshold
            | Cause::DeferredError
            | Cause::ApicError
            | Cause::Spurious
            | Cause::Nmi
            | Cause::MachineCheck
            | Cause::Unknown => Vec::new(),
        };
        // In the order of time, so that what is the same stands together.
        origins.dedup();
        if origins.is_empty() {
            return vec![Origin::Unknown];
        }
        origins
    }

    /// Cross-calls that ran in the entry, and those that its last call-function interrupt, which
    /// `emptied` the CPU's queue, must have run unseen.
    fn calls(
        &mut self,
        entry: &KernelEntry,
        emptied: MonoNanos,
        asked: &mut [Option<RawOrigin>],
    ) -> Vec<RawOrigin> {
        let cpu = entry.cpu;
        let mut unseen = self.waiting.queue_emptied(cpu, emptied, &self.shown);
        if !entry.cause.cause().is_call() {
            return Vec::new();
        }
        let mut found: Vec<_> = entry
            .activities
            .iter()
            .zip(asked)
            .filter(|(item, origin)| {
                item.kind == Activity::Csd && !is_later(origin.as_ref(), entry)
            })
            .map(|(_, origin)| origin.take().unwrap_or(RawOrigin::Unknown))
            .collect();
        // What is older than user mode may have run before, unseen, unless all since then is known.
        let known = self.known_before(entry);
        let fresh = |one: &Waiting| entry.user_since.is_some_and(|since| one.at >= since);
        let pending = |one: &Waiting| !one.conditional && known.is_some_and(|it| one.at >= it);
        unseen.retain(|one| one.at <= arrival(entry) && (fresh(one) || pending(one)));
        // Two probes may have seen the same call, one of them without its csd.
        let (mut unseen, mut keyless): (Vec<_>, Vec<_>) =
            unseen.into_iter().partition(|one| !one.keyless);
        keyless.retain(|one| !unseen.iter().any(|other| same(one, other)));
        unseen.append(&mut keyless);
        // Who may not have queued anything is named only where nobody else is there.
        let certain = !found.is_empty() || unseen.iter().any(|one| !one.conditional);
        let lone = unseen.windows(2).all(|two| same(&two[0], &two[1]));
        unseen.retain(|one| !one.conditional || (!certain && lone));
        for mut waiting in unseen {
            waiting.sender.inferred = true;
            found.push(self.remote(waiting.sender));
        }
        let asked = |origin: &RawOrigin| origin.sender().and_then(|sender| sender.at);
        found.sort_by_key(|origin| asked(origin).unwrap_or(entry.at));
        found
    }

    /// Every reschedule that was sent until the interrupt arrived.
    fn reschedules(&mut self, entry: &KernelEntry) -> Vec<RawOrigin> {
        let Some(last) = last_vector(entry, |cause| cause == Cause::Reschedule) else {
            return Vec::new();
        };
        // The cause is the first one, and had arrived when the entry began: what was sent later is the next one's. What
        // later ones answer was no cause.
        let is_cause = entry.cause.cause() == Cause::Reschedule;
        let is_last = is_cause && entry.cause_began.is_none_or(|began| began >= last);
        let until = if is_cause { entry.at } else { last };
        let arrived = if is_last { entry.at } else { last };
        let key = (RequestKind::Reschedules(entry.cpu), 0);
        let mut senders = self
            .waiting
            .with_queue(key, |queue| {
                let caused = queue.partition_point(|sender| sender.at <= until);
                let caused = queue.drain(..caused);
                let senders: Vec<_> = caused.collect();
                let answered = queue.partition_point(|sender| sender.at <= arrived);
                queue.drain(..answered);
                senders
            })
            .unwrap_or_default();
        // One that was sent before user mode and arrived after is possible, and is taken
        // where nothing younger is there: an older one may have been answered unseen.
        if let Some(since) = entry.user_since
            && senders.iter().any(|sender| sender.at >= since)
        {
            senders.retain(|sender| sender.at >= since);
        } else if senders.len() > 1 {
            senders.drain(..senders.len() - 1);
        }
        // An interrupt takes its time from one CPU to the other: the last of several senders may have sent the next one.
        let spare = self.spare.of(entry.cpu).take();
        match senders.as_slice() {
            [] if is_cause => senders.extend(spare),
            [_, .., last] => *self.spare.of(entry.cpu) = Some(last.clone()),
            _ => {}
        }
        senders
            .into_iter()
            .map(|Waiting { mut sender, .. }| {
                sender.inferred = true;
                self.remote(sender)
            })
            .collect()
    }

    /// Another CPU's act, or ours.
    fn remote(&self, sender: Box<RawSender>) -> RawOrigin {
        if self.is_own(&sender) {
            Origin::Tracer(sender)
        } else {
            Origin::Remote(sender)
        }
    }

    /// A timer's or a work item's, with who armed or queued it, or ours.
    fn kernel(&self, sender: Box<RawSender>) -> RawOrigin {
        if self.is_own(&sender) {
            Origin::Tracer(sender)
        } else {
            Origin::Kernel(Some(sender))
        }
    }

    fn is_own(&self, sender: &RawSender) -> bool {
        let pid = sender.task.as_ref().and_then(|task| task.pid);
        pid.is_some_and(|pid| self.own.has(pid))
    }
}

/// Whose event it is that a timer samples.
fn of_perf_event(item: &KernelActivity) -> Option<Box<RawSender>> {
    let event = item.perf_event.as_ref()?;
    Some(Box::new(RawSender {
        via: Via::PerfEvent,
        at: None,
        cpu: None,
        task: event.owner.clone(),
        unsure: false,
        callback: item.address,
        callsite: None,
        stack: Vec::new(),
        inferred: false,
    }))
}

/// What the record of a sender tells.
fn sender(via: Via, send: &Send) -> RawSender {
    let by_task = send.flags & SENT_BY_INTERRUPT == 0;
    let frames = send.stack.iter().take(usize::from(send.frames));
    RawSender {
        via,
        at: Some(MonoNanos(send.at_ns)),
        cpu: Some(Cpu(send.cpu)),
        // The idle task asks for nothing: where it is current, an interrupt does.
        task: (by_task && send.tid != 0).then(|| TaskId {
            pid: Some(Pid(send.pid)),
            tid: Tid(send.tid),
            comm: Some(thread_name_of(&send.comm)),
        }),
        unsure: send.flags & SENDER_UNSURE != 0,
        callback: address(send.function),
        callsite: address(send.callsite),
        stack: frames.filter_map(|&frame| address(frame)).collect(),
        inferred: false,
    }
}

/// An address; 0 stands for none.
fn address(number: u64) -> Option<Address> {
    (number != 0).then_some(Address(number))
}

#[cfg(test)]
mod tests;
