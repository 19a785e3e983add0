//! The one place in which a breach is built: of what the records tell, and the names of it.

use std::sync::Arc;

use super::{
    Attributor, Awaited,
    senders::{Asker, TimerOwner, asker, timer_owner, trim},
};
use crate::{
    event::{
        entry::KernelActivity,
        ids::Address,
        model::{ActivityItem, Breach, Function, Origin, Sender, TaskId, Via},
        origin::{RawOrigin, RawSender},
        raw::{ActivityOrigin, RawBreach},
    },
    symbolize::Words,
};

/// A breach for which places in user space are being looked up.
#[derive(Debug)]
pub struct BreachLookup {
    raw: Box<RawBreach>,
    cause_name: Option<Arc<str>>,
    awaited: Awaited,
}

impl BreachLookup {
    /// What is looked up.
    #[must_use]
    pub const fn awaited(&self) -> &Awaited {
        &self.awaited
    }
}

impl Attributor {
    /// Begins to look up what a breach needs. Never waits.
    pub fn look_up(&mut self, raw: Box<RawBreach>) -> BreachLookup {
        let mut awaited = Awaited::default();
        let pid = raw.entry.task.pid;
        self.ask_place(pid, raw.entry.ip, &mut awaited);
        for asked in &raw.asked {
            if let Some(origin) = &asked.origin {
                self.ask_stack_of(origin, None, &mut awaited);
            }
        }
        for origin in &raw.origins {
            self.ask_stack_of(origin, Some(&raw.entry.task), &mut awaited);
        }
        let cause_name = self.names.cause_name(&raw.entry.cause);
        // What follows runs another program at the same addresses.
        if let (Some(users), Some(pid)) = (&mut self.users, pid)
            && matches!(cause_name.as_deref(), Some("execve" | "execveat"))
        {
            users.executed(pid);
        }
        BreachLookup {
            raw,
            cause_name,
            awaited,
        }
    }

    /// The breach, with what has been found by now.
    pub fn breach(&mut self, lookup: BreachLookup) -> Box<Breach> {
        let BreachLookup {
            raw,
            cause_name,
            awaited,
        } = lookup;
        let RawBreach {
            seq,
            entry,
            asked,
            origins,
        } = *raw;
        let place = self.place_of(awaited);
        let activities = entry.activities.into_iter().zip(asked);
        let activities = activities
            .map(|(item, asked)| self.activity(item, asked))
            .collect();
        let mut origins: Vec<_> = origins
            .into_iter()
            .map(|origin| self.origin(origin, Some(&entry.task)))
            .collect();
        // Several that were told apart may be the task itself now.
        origins.dedup();
        let mut breach = Box::new(Breach {
            seq,
            at: entry.at,
            cpu: entry.cpu,
            duration: entry.duration,
            idle: entry.idle,
            end: entry.end,
            section: Some(entry.section),
            task: entry.task,
            cause_name,
            cause_handler: self.names.cause_handler(&entry.cause),
            cause: entry.cause,
            cause_net: entry.cause_net,
            ip: entry.ip,
            location: place.location,
            source: place.source,
            inlined: place.inlined,
            activities,
            dropped_activities: entry.dropped_activities,
            origins,
            remedy: None,
        });
        // Rules go by the whole breach.
        breach.remedy = self.rules.find(&breach).map(|rule| rule.id.clone());
        breach
    }

    /// Asks for the user stack of who asked, where it was copied and is that of the task that asked.
    fn ask_stack_of(
        &mut self,
        origin: &RawOrigin,
        interrupted: Option<&TaskId>,
        awaited: &mut Awaited,
    ) {
        let Some(sender) = origin.sender() else {
            return;
        };
        let key = sender.stack_key();
        let was_copied = |&key: &_| self.users.as_ref().is_some_and(|it| it.has_stack(key));
        if let Some(key) = key.filter(was_copied)
            && let Who::Asker(found) = self.who(sender, timer_of(origin, interrupted))
            && found.asker.task.is_some()
        {
            self.ask_stack(key, awaited);
        }
    }

    /// An activity with its name, and who asked for it.
    fn activity(&mut self, item: KernelActivity, asked: ActivityOrigin) -> ActivityItem {
        let (kind, name) = self.names.activity(&item);
        ActivityItem {
            kind,
            number: item.number,
            address: item.address,
            comm: item.comm,
            net: item.net,
            name,
            kin: asked.kin,
            origin: asked.origin.map(|origin| self.origin(origin, None)),
        }
    }

    /// An origin with its names: of a breach in which a task was `interrupted`, or of an activity.
    fn origin(&mut self, raw: RawOrigin, interrupted: Option<&TaskId>) -> Origin {
        let timer_of = timer_of(&raw, interrupted);
        let (raw, of): (_, fn(Box<Sender>) -> Origin) = match raw {
            Origin::Task => return Origin::Task,
            Origin::Device => return Origin::Device,
            Origin::Unknown => return Origin::Unknown,
            Origin::Kernel(None) => return Origin::Kernel(None),
            Origin::Remote(raw) => (raw, Origin::Remote),
            Origin::Kernel(Some(raw)) => (raw, of_kernel),
            Origin::Tracer(raw) => (raw, of_tracer),
        };
        let Who::Asker(found) = self.who(&raw, timer_of) else {
            return Origin::Task;
        };
        let Asker { task, unsure } = found.asker;
        // An interrupt has no user stack: that of the task which it interrupted had nothing to do with it.
        let key = raw.stack_key().filter(|_| task.is_some());
        of(Box::new(Sender {
            via: raw.via,
            at: raw.at,
            cpu: raw.cpu,
            task,
            callback: found.callback,
            callsite: raw.callsite.map(|address| self.place(address)),
            stack: found.stack,
            user_stack: key.map_or_else(Words::default, |key| self.stack_of(key)),
            inferred: raw.inferred || unsure,
        }))
    }

    /// Who has left a record, by the names on the way there. `timer_of` is the task that it interrupted,
    /// where it is of a timer that did so.
    fn who(&mut self, sender: &RawSender, timer_of: Option<&TaskId>) -> Who {
        let callback = sender.callback.map(|address| self.place(address));
        let mut stack = sender.stack.iter().map(|&it| self.place(it)).collect();
        trim(&mut stack);
        let mut asker = asker(sender, &stack);
        if let Some(task) = timer_of {
            let function = callback.as_ref().and_then(|it| it.name.as_deref());
            match timer_owner(sender.via, asker.task.as_ref(), function, task) {
                TimerOwner::InterruptedTask => return Who::InterruptedTask,
                TimerOwner::Kernel => asker.task = None,
                TimerOwner::Asker => {}
            }
        }
        Who::Asker(Found {
            callback,
            stack,
            asker,
        })
    }

    /// A place in the kernel with its name.
    fn place(&mut self, address: Address) -> Function {
        Function {
            address: Some(address),
            name: self.names.function(address),
        }
    }
}

/// Who has left a record.
enum Who {
    /// The task that was interrupted.
    InterruptedTask,
    /// Whoever asked.
    Asker(Found),
}

/// What the names of a sender tell.
struct Found {
    callback: Option<Function>,
    stack: Vec<Function>,
    asker: Asker,
}

/// The task that was interrupted, where the kernel's own timer or work did so.
fn timer_of<'task>(
    origin: &RawOrigin,
    interrupted: Option<&'task TaskId>,
) -> Option<&'task TaskId> {
    interrupted.filter(|_| matches!(origin, Origin::Kernel(_)))
}

fn of_kernel(sender: Box<Sender>) -> Origin {
    Origin::Kernel(Some(sender))
}

/// What the tracer's task seemed to ask for. An interrupt in its time is not the tracer.
fn of_tracer(sender: Box<Sender>) -> Origin {
    if sender.task.is_some() {
        return Origin::Tracer(sender);
    }
    match sender.via {
        Via::Work | Via::Timer | Via::Hrtimer | Via::PerfEvent | Via::IrqWork => of_kernel(sender),
        Via::CrossCall | Via::Reschedule | Via::Wake | Via::Fork | Via::Move | Via::Cancel => {
            Origin::Remote(sender)
        }
    }
}
