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
mod waiting;
mod wakes;

use std::{collections::HashSet, sync::Arc};

use isol_trace_common::{
    record::Kin,
    send::{SENDER_UNSURE, SENT_BY_INTERRUPT, SENT_CONDITIONALLY, Send},
};

use self::{
    arrivals::Kinship,
    cancelled::Cancellations,
    local::{expired, raised},
    waiting::{List, Ran, Senders, Waiting},
    wakes::Wakes,
};
use super::{
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, Tid},
    model::{Activity, Breach, Cause, Function, Origin, Sender, TaskId, Via},
    own::OwnProcesses,
    per_cpu::PerCpu,
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
            Via::CrossCall => (List::Calls(target), send.key),
            Via::Reschedule => (List::Reschedules(target), 0),
            Via::IrqWork => (List::Raised(target), 0),
            Via::Work => (List::Work, send.key),
            Via::Timer | Via::Hrtimer => (List::Timers, send.key),
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

    /// Fills in who provoked a breach, in the order in which they did, and who asked for what
    /// else ran in it. There is always an origin.
    pub fn join(&mut self, breach: &mut Breach) {
        let called = last_vector(breach, Cause::is_call);
        let mut asked = self.asked(breach, called);
        breach.origins = self.origins(breach, called, &mut asked);
        self.follow(breach);
        self.kin.tell(breach);
        for (item, origin) in breach.activities.iter().zip(&mut asked) {
            if item.kind == Activity::Switch
                && let Some(came) = origin.as_mut().and_then(Origin::sender_mut)
            {
                arrivals::explain(item, came, &mut breach.origins);
            }
        }
        for (item, origin) in breach.activities.iter_mut().zip(asked) {
            // Who woke a task has mostly sent the interrupt too.
            let told = |origin: &Origin| {
                let told = breach.origins.iter().filter_map(Origin::sender);
                origin
                    .sender()
                    .is_some_and(|sender| told.into_iter().any(|one| same_task(one, sender)))
            };
            item.origin = origin.filter(|origin| item.kind != Activity::Switch || !told(origin));
        }
    }

    /// Takes a breach into what is known of its CPU.
    fn follow(&mut self, breach: &Breach) {
        let until = end_of(breach);
        let since = match (breach.duration, breach.dropped_activities) {
            (None, _) => None,
            // What its list had no room for may have been an interrupt.
            (Some(_), 1..) => Some(until),
            (Some(_), 0) => Some(self.known_before(breach).unwrap_or(breach.at)),
        };
        *self.known.of(breach.cpu) = since.map(|since| Known { since, until });
    }

    /// Since when every entry of the breach's CPU before it is known, if the last of them was.
    fn known_before(&self, breach: &Breach) -> Option<MonoNanos> {
        let known = self.known.get(breach.cpu)?.as_ref()?;
        let user_since = breach.user_since?;
        (known.until >= user_since).then_some(known.since)
    }

    /// Who asked for each activity, where that is known.
    /// `called` is when its last call-function interrupt arrived.
    fn asked(&mut self, breach: &Breach, called: Option<MonoNanos>) -> Vec<Option<Origin>> {
        let mut asked = Vec::with_capacity(breach.activities.len());
        for (place, item) in breach.activities.iter().enumerate() {
            let rest = breach.activities.iter().skip(place);
            let to_come = rest.filter(|one| (one.kind, one.key) == (item.kind, item.key));
            let ran = |until: MonoNanos| Ran {
                until,
                since: breach.user_since,
                times: to_come.count(),
            };
            asked.push(match (item.kind, item.key) {
                (Activity::Csd, Some(Address(key))) => {
                    self.shown.extend(item.address);
                    self.waiting
                        .take(
                            (List::Calls(breach.cpu), key),
                            &ran(called.unwrap_or(end_of(breach))),
                        )
                        .map(|sender| self.remote(sender))
                }
                (Activity::Work, Some(Address(key))) => self
                    .waiting
                    .take((List::Work, key), &ran(end_of(breach)))
                    .map(|sender| self.kernel(sender)),
                (Activity::Hrtimer, _) if item.origin.is_some() => {
                    item.origin.clone().map(|origin| self.ours(origin))
                }
                (Activity::Timer | Activity::Hrtimer, Some(Address(key))) => self
                    .waiting
                    .armed(key, breach)
                    .map(|sender| self.kernel(sender)),
                (Activity::IrqWork, Some(Address(raised))) => self
                    .waiting
                    .raised(breach.cpu, MonoNanos(raised))
                    .map(|sender| self.kernel(sender)),
                (Activity::Switch, _) => self.wakes.waker(item, breach).map(|sender| {
                    if sender.cpu == Some(breach.cpu) {
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
        breach: &Breach,
        called: Option<MonoNanos>,
        asked: &mut [Option<Origin>],
    ) -> Vec<Origin> {
        let called = called.map_or_else(Vec::new, |at| self.calls(breach, at, asked));
        let rescheduled = self.reschedules(breach);
        let cancelled = self.cancelled.take(breach);
        let mut origins = match breach.cause.cause() {
            Cause::Syscall | Cause::PageFault | Cause::Exception => vec![Origin::Task],
            Cause::DeviceIrq => vec![Origin::Device],
            Cause::CallFunction | Cause::CallFunctionSingle => called,
            Cause::Reschedule => rescheduled,
            Cause::LocalTimer => match cancelled {
                Some(by) => vec![self.remote(by)],
                None => expired(breach, asked),
            },
            Cause::IrqWork => raised(breach, asked),
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
        breach: &Breach,
        emptied: MonoNanos,
        asked: &mut [Option<Origin>],
    ) -> Vec<Origin> {
        let cpu = breach.cpu;
        let mut unseen = self.waiting.emptied(cpu, emptied, &self.shown);
        if !breach.cause.cause().is_call() {
            return Vec::new();
        }
        let mut found: Vec<_> = breach
            .activities
            .iter()
            .zip(asked)
            .filter(|(item, origin)| {
                item.kind == Activity::Csd && !is_later(origin.as_ref(), breach)
            })
            .map(|(_, origin)| origin.take().unwrap_or(Origin::Unknown))
            .collect();
        // What is older than user mode may have run before, unseen, unless all since then is known.
        let known = self.known_before(breach);
        let fresh = |one: &Waiting| breach.user_since.is_some_and(|since| one.at >= since);
        let pending = |one: &Waiting| !one.conditional && known.is_some_and(|it| one.at >= it);
        unseen.retain(|one| one.at <= arrival(breach) && (fresh(one) || pending(one)));
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
        let asked = |origin: &Origin| origin.sender().and_then(|sender| sender.at);
        found.sort_by_key(|origin| asked(origin).unwrap_or(breach.at));
        found
    }

    /// Every reschedule that was sent until the interrupt arrived.
    fn reschedules(&mut self, breach: &Breach) -> Vec<Origin> {
        let Some(last) = last_vector(breach, |cause| cause == Cause::Reschedule) else {
            return Vec::new();
        };
        // The cause is the first one, and had arrived when the entry began: what was sent later is the next one's. What
        // later ones answer was no cause.
        let is_cause = breach.cause.cause() == Cause::Reschedule;
        let is_last = is_cause && breach.cause_began.is_none_or(|began| began >= last);
        let until = if is_cause { breach.at } else { last };
        let arrived = if is_last { breach.at } else { last };
        let key = (List::Reschedules(breach.cpu), 0);
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
        if let Some(since) = breach.user_since
            && senders.iter().any(|sender| sender.at >= since)
        {
            senders.retain(|sender| sender.at >= since);
        } else if senders.len() > 1 {
            senders.drain(..senders.len() - 1);
        }
        // An interrupt takes its time from one CPU to the other: the last of several senders may have sent the next one.
        let spare = self.spare.of(breach.cpu).take();
        match senders.as_slice() {
            [] if is_cause => senders.extend(spare),
            [_, .., last] => *self.spare.of(breach.cpu) = Some(last.clone()),
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
    fn remote(&self, sender: Box<Sender>) -> Origin {
        if self.is_own(&sender) {
            Origin::Tracer(sender)
        } else {
            Origin::Remote(sender)
        }
    }

    /// A timer's or a work item's, with who armed or queued it, or ours.
    fn kernel(&self, sender: Box<Sender>) -> Origin {
        if self.is_own(&sender) {
            Origin::Tracer(sender)
        } else {
            Origin::Kernel(Some(sender))
        }
    }

    /// The same, or ours.
    fn ours(&self, origin: Origin) -> Origin {
        match origin {
            Origin::Kernel(Some(sender)) => self.kernel(sender),
            other => other,
        }
    }

    fn is_own(&self, sender: &Sender) -> bool {
        let pid = sender.task.as_ref().and_then(|task| task.pid);
        pid.is_some_and(|pid| self.own.has(pid))
    }
}

/// When the interrupt that is the cause of an entry arrived; of another cause when user mode was left.
fn arrival(breach: &Breach) -> MonoNanos {
    breach.cause_began.unwrap_or(breach.at)
}

/// Whether somebody asked after the entry's own interrupt had arrived, which cannot have provoked it.
fn is_later(origin: Option<&Origin>, breach: &Breach) -> bool {
    let asked = origin.and_then(Origin::sender).and_then(|it| it.at);
    asked.is_some_and(|at| at > arrival(breach))
}

/// When the entry's record ended; much later where that is not known.
fn end_of(breach: &Breach) -> MonoNanos {
    let Nanos(duration) = breach.duration.unwrap_or(Nanos(u64::MAX));
    MonoNanos(breach.at.0.saturating_add(duration))
}

/// When the last vector of this kind arrived in an entry.
fn last_vector(breach: &Breach, kind: fn(Cause) -> bool) -> Option<MonoNanos> {
    let own = kind(breach.cause.cause()).then_some(breach.cause_began.unwrap_or(breach.at));
    let is_kind = |number: u32| {
        let number = u8::try_from(number).ok();
        number.and_then(Cause::from_wire).is_some_and(kind)
    };
    breach
        .activities
        .iter()
        .filter(|item| item.kind == Activity::Vector && is_kind(item.number))
        .filter_map(|item| item.began)
        .chain(own)
        .max()
}

/// Whether it makes no difference which of the two it was.
fn same(one: &Sender, other: &Sender) -> bool {
    same_task(one, other) && one.callback == other.callback
}

/// Whether it was the same task, or no task, on the same CPU.
fn same_task(one: &Sender, other: &Sender) -> bool {
    let who = |sender: &Sender| sender.task.as_ref().map(|task| task.tid);
    who(one) == who(other) && one.cpu == other.cpu
}

fn sender(via: Via, send: &Send) -> Sender {
    let by_task = send.flags & SENT_BY_INTERRUPT == 0;
    let frames = send.stack.iter().take(usize::from(send.frames));
    Sender {
        via,
        at: Some(MonoNanos(send.at_ns)),
        cpu: Some(Cpu(send.cpu)),
        // The idle task asks for nothing: where it is current, an interrupt does.
        task: (by_task && send.tid != 0).then(|| TaskId {
            pid: Some(Pid(send.pid)),
            tid: Tid(send.tid),
            comm: Some(super::assemble::comm(&send.comm)),
        }),
        unsure: send.flags & SENDER_UNSURE != 0,
        callback: Function::at(send.function),
        callsite: Function::at(send.callsite),
        stack: frames
            .filter_map(|&address| Function::at(address))
            .collect(),
        user_stack: Arc::default(),
        inferred: false,
    }
}

#[cfg(test)]
mod tests;
