//! The join: which sender belongs to which breach.
//!
//! Pure. Senders' records ([`Join::sent`]) must be taken in before the breaches that they led to
//! ([`Join::origins`]): a sender writes its record before the receiver can see anything of it.
//!
//! # By pointer
//!
//! A cross-call, a work item and a timer are known by their address on both sides. One address
//! serves again and again: the csd of a CPU's calls to another one is free once its function
//! is about to run (`kernel/smp.c:__flush_smp_call_function_queue`, v6.12), and what ran while
//! nobody looked (between two tasks, or in an entry whose record was lost or filtered) leaves a
//! sender behind. Three rules keep that from naming the wrong one:
//!
//! - what was sent since the CPU last went to user mode cannot have run before this entry,
//!   and is preferred to what is older;
//! - a call-function interrupt empties the CPU's whole queue: what was queued before it and did not
//!   show in it is forgotten;
//! - where two different senders remain, it is neither.
//!
//! # By order
//!
//! A reschedule carries no pointer, and neither does a call of an `irq_work` or of a batch of
//! wake-ups, whose functions pass no tracepoint. Those are all that was sent before the interrupt
//! arrived and has not been answered since, and are marked as inferred.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use isol_trace_common::send::{SENDER_UNSURE, SENT_BY_INTERRUPT, Send};

use super::{
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, Tid},
    model::{Activity, Breach, Cause, Function, Origin, Sender, TaskId, Via},
};

/// Senders that wait for their breach, on all CPUs together.
const MAX_WAITING: usize = 16_384;

/// Where a sender waits. Work items and timers may move to another CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum List {
    Calls(Cpu),
    Reschedules(Cpu),
    Work,
    Timers,
}

/// What a sender is known by on both sides: its list, and the address there; 0 for reschedules.
type Key = (List, u64);

/// Senders of one key, the earliest first.
type Queue = VecDeque<Box<Sender>>;

/// Senders without their breaches.
#[derive(Debug)]
pub struct Join {
    own: Pid,
    /// No queue in it is empty.
    waiting: HashMap<List, HashMap<u64, Queue>>,
    /// Keys in the order in which senders came; more than `waiting` has, because what is
    /// answered stays here until it is the oldest.
    order: VecDeque<(Key, MonoNanos)>,
    evicted: u64,
}

impl Join {
    /// Nobody waits. `own` is the tracer's process.
    #[must_use]
    pub fn new(own: Pid) -> Self {
        Self {
            own,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            evicted: 0,
        }
    }

    /// Senders that were forgotten for want of room, before their breach came.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes in what was asked of a watched CPU.
    pub fn sent(&mut self, via: Via, send: &Send) {
        let target = Cpu(send.target);
        let key = match via {
            Via::CrossCall => (List::Calls(target), send.key),
            Via::Reschedule => (List::Reschedules(target), 0),
            Via::Work => (List::Work, send.key),
            Via::Timer | Via::Hrtimer => (List::Timers, send.key),
        };
        let (list, address) = key;
        let sender = Box::new(sender(via, send));
        let at = sender.at;
        let queue = self
            .waiting
            .entry(list)
            .or_default()
            .entry(address)
            .or_default();
        if list == List::Timers {
            // Armed again before it expired, or expired unseen: only the last two can matter,
            // one that has expired and its own arming again since.
            while queue.len() > 1 {
                queue.pop_front();
            }
        }
        // Senders on different CPUs come from different rings.
        let place = queue.partition_point(|earlier| earlier.at <= at);
        queue.insert(place, sender);
        self.order.push_back((key, at));
        while self.order.len() > MAX_WAITING {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        let Some((key, at)) = self.order.pop_front() else {
            return;
        };
        let removed = self.with_queue(key, |queue| {
            let place = queue.iter().position(|sender| sender.at == at)?;
            queue.remove(place)
        });
        self.evicted += u64::from(removed.flatten().is_some());
    }

    /// Does something to the queue of a key, if there is one.
    fn with_queue<R>(
        &mut self,
        (list, address): Key,
        does: impl FnOnce(&mut Queue) -> R,
    ) -> Option<R> {
        let queues = self.waiting.get_mut(&list)?;
        let queue = queues.get_mut(&address)?;
        let result = does(queue);
        if queue.is_empty() {
            queues.remove(&address);
        }
        Some(result)
    }

    /// Who provoked a breach, in the order in which they did: never empty.
    #[must_use]
    pub fn origins(&mut self, breach: &Breach) -> Vec<Origin> {
        let called = self.calls(breach);
        let rescheduled = self.reschedules(breach);
        let queued = self.queued(breach);
        let origins = match breach.cause.cause() {
            Cause::Syscall | Cause::PageFault | Cause::Exception => vec![Origin::Task],
            Cause::DeviceIrq => vec![Origin::Device],
            Cause::CallFunction | Cause::CallFunctionSingle => called,
            Cause::Reschedule => rescheduled,
            Cause::LocalTimer => queued,
            // Raised by this CPU on itself (arch/x86/kernel/irq_work.c `arch_irq_work_raise`);
            // irq_work for another CPU arrives there as a call-function interrupt.
            Cause::IrqWork => vec![Origin::Kernel(None)],
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
        if origins.is_empty() {
            return vec![Origin::Unknown];
        }
        origins
    }

    /// Cross-calls that ran in the entry, and those that its last call-function interrupt must
    /// have run unseen.
    fn calls(&mut self, breach: &Breach) -> Vec<Origin> {
        let cpu = breach.cpu;
        let mut found: Vec<(MonoNanos, Origin)> = Vec::new();
        for item in &breach.activities {
            if item.kind != Activity::Csd {
                continue;
            }
            let sender = item
                .key
                .and_then(|key| self.take((List::Calls(cpu), key.0), breach));
            let at = sender.as_ref().map_or(breach.at, |sender| sender.at);
            found.push((at, sender.map_or(Origin::Unknown, |it| self.origin(it))));
        }
        let own = matches!(
            breach.cause.cause(),
            Cause::CallFunction | Cause::CallFunctionSingle
        );
        let Some(emptied) = last_vector(breach, &[Cause::CallFunction, Cause::CallFunctionSingle])
        else {
            return found.into_iter().map(|(_, origin)| origin).collect();
        };
        let mut unseen = Vec::new();
        if let Some(queues) = self.waiting.get_mut(&List::Calls(cpu)) {
            queues.retain(|_, queue| {
                let answered = queue.partition_point(|sender| sender.at <= emptied);
                unseen.extend(queue.drain(..answered));
                !queue.is_empty()
            });
        }
        if own {
            // What is older than user mode may have run before, unseen.
            unseen.retain(|sender| breach.user_since.is_some_and(|since| sender.at >= since));
            for mut sender in unseen {
                sender.inferred = true;
                found.push((sender.at, self.origin(sender)));
            }
            found.sort_by_key(|(at, _)| *at);
        }
        found.into_iter().map(|(_, origin)| origin).collect()
    }

    /// Every reschedule that was sent until the interrupt arrived.
    fn reschedules(&mut self, breach: &Breach) -> Vec<Origin> {
        let Some(arrived) = last_vector(breach, &[Cause::Reschedule]) else {
            return Vec::new();
        };
        // The cause is the first one; what later ones answer was no cause.
        let until = breach.cause_began.unwrap_or(arrived);
        let key = (List::Reschedules(breach.cpu), 0);
        let mut senders = self
            .with_queue(key, |queue| {
                let caused = queue.partition_point(|sender| sender.at <= until);
                let senders: Vec<_> = queue.drain(..caused).collect();
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
        senders
            .into_iter()
            .map(|mut sender| {
                sender.inferred = true;
                self.origin(sender)
            })
            .collect()
    }

    /// Timers that expired in the entry, with who armed them. Work items are taken off the list.
    fn queued(&mut self, breach: &Breach) -> Vec<Origin> {
        let mut origins = Vec::new();
        for item in &breach.activities {
            match (item.kind, item.key) {
                (Activity::Work, Some(Address(key))) => {
                    let _queued = self.take((List::Work, key), breach);
                }
                (Activity::Timer | Activity::Hrtimer, Some(Address(key))) => {
                    origins.push(Origin::Kernel(self.armed(key, breach)));
                }
                (Activity::Timer | Activity::Hrtimer | Activity::Tick, _) => {
                    origins.push(Origin::Kernel(None));
                }
                _ => {}
            }
        }
        origins.dedup_by(|later, earlier| {
            matches!(later, Origin::Kernel(None)) && matches!(earlier, Origin::Kernel(_))
        });
        origins
    }

    /// Who armed a timer that expired: the last one before the entry, or else inside it. It
    /// stays: whoever armed a timer that repeats itself is the origin each time.
    fn armed(&self, timer: u64, breach: &Breach) -> Option<Box<Sender>> {
        let queue = self.waiting.get(&List::Timers)?.get(&timer)?;
        let before = queue.iter().rfind(|sender| sender.at <= breach.at);
        let within = || queue.iter().rfind(|sender| sender.at <= end_of(breach));
        before.or_else(within).cloned()
    }

    /// The sender of something that ran in the entry. `None` where it is not known which.
    fn take(&mut self, key: Key, breach: &Breach) -> Option<Box<Sender>> {
        self.with_queue(key, |queue| {
            let mut possible = queue.partition_point(|sender| sender.at <= end_of(breach));
            let stale = breach
                .user_since
                .map_or(0, |since| queue.partition_point(|sender| sender.at < since));
            if stale < possible {
                queue.drain(..stale);
                possible -= stale;
            }
            let others = possible.checked_sub(1)?;
            let first = queue.pop_front()?;
            let ambiguous =
                stale == 0 && queue.iter().take(others).any(|other| !same(&first, other));
            if ambiguous {
                queue.drain(..others);
                return None;
            }
            Some(first)
        })
        .flatten()
    }

    fn origin(&self, sender: Box<Sender>) -> Origin {
        let pid = sender.task.as_ref().and_then(|task| task.pid);
        if pid == Some(self.own) {
            Origin::Tracer(sender)
        } else {
            Origin::Remote(sender)
        }
    }
}

/// When the entry's record ended; much later where that is not known.
fn end_of(breach: &Breach) -> MonoNanos {
    let Nanos(duration) = breach.duration.unwrap_or(Nanos(u64::MAX));
    MonoNanos(breach.at.0.saturating_add(duration))
}

/// When the last vector of these arrived in an entry.
fn last_vector(breach: &Breach, causes: &[Cause]) -> Option<MonoNanos> {
    let own = causes
        .contains(&breach.cause.cause())
        .then_some(breach.cause_began.unwrap_or(breach.at));
    breach
        .activities
        .iter()
        .filter(|item| item.kind == Activity::Vector)
        .filter(|item| causes.iter().any(|&cause| cause as u32 == item.number))
        .filter_map(|item| item.began)
        .chain(own)
        .max()
}

/// Whether it makes no difference which of the two it was.
fn same(one: &Sender, other: &Sender) -> bool {
    let who = |sender: &Sender| sender.task.as_ref().map(|task| task.tid);
    who(one) == who(other) && one.cpu == other.cpu && one.callback == other.callback
}

fn sender(via: Via, send: &Send) -> Sender {
    let by_task = send.flags & SENT_BY_INTERRUPT == 0;
    let frames = send.stack.iter().take(usize::from(send.frames));
    Sender {
        via,
        at: MonoNanos(send.at_ns),
        cpu: Cpu(send.cpu),
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
