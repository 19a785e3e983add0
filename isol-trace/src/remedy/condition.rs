//! The conditions of a rule.

use std::ops::RangeInclusive;

use super::pattern::{Pattern, allowed};
use crate::event::{
    ids::Address,
    model::{Activity, ActivityItem, Breach, Cause, CauseDetail, End, Function, Origin, Sender},
};

/// Members of a closed list of words, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(u32);

impl Words {
    /// The set with one more word, by its wire number.
    pub(super) const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }

    /// Whether the word is in the set.
    const fn has(self, number: u8) -> bool {
        self.0 >> number & 1 != 0
    }

    /// Whether no word is asked for, or this is one of them.
    const fn allow(self, number: u8) -> bool {
        self.0 == 0 || self.has(number)
    }
}

/// One way to satisfy a rule: everything in it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// [`Cause`]; never empty.
    pub(super) causes: Words,
    /// Of the cause.
    pub(super) names: Vec<Pattern>,
    /// Of the cause's handler.
    pub(super) handlers: Vec<Pattern>,
    /// The first of a system call's argument registers, as many as it names.
    pub(super) args: Vec<u64>,
    /// How it ended; empty for any end.
    pub(super) ends: Vec<End>,
    /// Inside an isolated section, or outside.
    pub(super) section: Option<bool>,
    /// What a page fault was about.
    pub(super) fault: Option<Fault>,
    /// One of the activities.
    pub(super) activity: Option<ActivityMatch>,
    /// There is no activity.
    pub(super) nothing: bool,
    /// There is no activity of these kinds, which are [`Activity`].
    pub(super) without: Words,
    /// One of the origins.
    pub(super) origin: Option<OriginMatch>,
}

/// A page fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What the task wanted; empty for anything.
    pub(super) access: Vec<Access>,
    /// The page was there and its rights forbade the access, or it was not.
    pub(super) protection: Option<bool>,
    /// Where; everywhere if `None`.
    pub(super) address: Option<RangeInclusive<u64>>,
}

/// What a task that faulted wanted of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To read it.
    Read,
    /// To write to it.
    Write,
    /// To execute it.
    Fetch,
}

/// An activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ActivityMatch {
    /// [`Activity`]; never empty.
    pub(super) kinds: Words,
    /// Its name.
    pub(super) names: Vec<Pattern>,
    /// Any frame of how who asked for it got there.
    pub(super) stack: Vec<Pattern>,
}

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OriginMatch {
    /// The words of its kinds; empty for any.
    pub(super) kinds: Vec<&'static str>,
    /// How it asked, by [`isol_trace_common::send::Via`].
    pub(super) via: Words,
    /// What it asked for.
    pub(super) callbacks: Vec<Pattern>,
    /// Where it asked.
    pub(super) callsites: Vec<Pattern>,
    /// Any frame of how it got there.
    pub(super) stack: Vec<Pattern>,
}

impl Condition {
    /// Whether a breach of this cause may meet it.
    pub(super) const fn is_of(&self, cause: Cause) -> bool {
        self.causes.has(cause as u8)
    }

    /// Names of the cause that it spells out.
    pub(super) fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|pattern| match pattern {
            Pattern::Exact(name) => Some(&**name),
            Pattern::Prefix(_) => None,
        })
    }

    /// Whether a name that it does not spell out may do.
    pub(super) fn allows_other_names(&self) -> bool {
        let prefix = |pattern: &Pattern| matches!(pattern, Pattern::Prefix(_));
        self.names.is_empty() || self.names.iter().any(prefix)
    }

    /// Whether a breach, of whose cause it is, meets it. `named`: the name has been compared.
    pub(super) fn is_met(&self, breach: &Breach, named: bool) -> bool {
        (named || allowed(&self.names, breach.cause_name.as_deref()))
            && allowed(&self.handlers, breach.cause_handler.as_deref())
            && (self.args.is_empty() || begins_with(&breach.cause, &self.args))
            && (self.ends.is_empty() || self.ends.contains(&breach.end))
            && (self.section.is_none() || breach.section == self.section)
            && self
                .fault
                .as_ref()
                .is_none_or(|fault| fault.is_met(&breach.cause))
            && self
                .activity
                .as_ref()
                .is_none_or(|did| breach.activities.iter().any(|item| did.is_met(item)))
            && (!self.nothing || breach.activities.is_empty())
            && !breach
                .activities
                .iter()
                .any(|item| self.without.has(item.kind as u8))
            && self
                .origin
                .as_ref()
                .is_none_or(|from| breach.origins.iter().any(|origin| from.is_met(origin)))
    }
}

/// Whether it is a system call whose first argument registers hold these.
fn begins_with(cause: &CauseDetail, wanted: &[u64]) -> bool {
    let CauseDetail::Syscall {
        args: Some(args), ..
    } = cause
    else {
        return false;
    };
    args.starts_with(wanted)
}

/// Whether one of these functions is on the stack of one who asked.
fn came_by(sender: &Sender, functions: &[Pattern]) -> bool {
    let mut names = sender.stack.iter().filter_map(|it| it.name.as_deref());
    names.any(|name| allowed(functions, Some(name)))
}

impl Fault {
    fn is_met(&self, cause: &CauseDetail) -> bool {
        let CauseDetail::PageFault {
            address: Address(address),
            write,
            fetch,
            protection,
            ..
        } = *cause
        else {
            return false;
        };
        let access = match (fetch, write) {
            (true, _) => Access::Fetch,
            (false, true) => Access::Write,
            (false, false) => Access::Read,
        };
        (self.access.is_empty() || self.access.contains(&access))
            && self.protection.is_none_or(|wanted| wanted == protection)
            && self
                .address
                .as_ref()
                .is_none_or(|range| range.contains(&address))
    }
}

impl ActivityMatch {
    /// Whether an activity of this kind may meet it.
    #[cfg(test)]
    pub(super) const fn is_kind(&self, kind: Activity) -> bool {
        self.kinds.has(kind as u8)
    }

    fn is_met(&self, item: &ActivityItem) -> bool {
        if !self.kinds.has(item.kind as u8) {
            return false;
        }
        let sender = item.origin.as_ref().and_then(Origin::sender);
        if !self.stack.is_empty() && !sender.is_some_and(|it| came_by(it, &self.stack)) {
            return false;
        }
        match item.name.as_deref() {
            // Several things can keep the tick running; the name lists them all.
            Some(names) if item.kind == Activity::Tick => names
                .split('|')
                .any(|name| allowed(&self.names, Some(name))),
            name => allowed(&self.names, name),
        }
    }
}

impl OriginMatch {
    /// Whether one who asked this way may meet it.
    #[cfg(test)]
    pub(super) const fn is_via(&self, via: crate::event::model::Via) -> bool {
        self.via.allow(via as u8)
    }

    fn is_met(&self, origin: &Origin) -> bool {
        if !self.kinds.is_empty() && !self.kinds.contains(&origin.word()) {
            return false;
        }
        let Some(sender) = origin.sender() else {
            return self.needs_no_sender();
        };
        let name = |place: &Option<Function>, patterns: &[Pattern]| {
            let name = place.as_ref().and_then(|place| place.name.as_deref());
            allowed(patterns, name)
        };
        self.via.allow(sender.via as u8)
            && name(&sender.callback, &self.callbacks)
            && name(&sender.callsite, &self.callsites)
            && (self.stack.is_empty() || came_by(sender, &self.stack))
    }

    /// Whether its kind is all that is asked of it.
    fn needs_no_sender(&self) -> bool {
        self.via == Words::default()
            && self.callbacks.is_empty()
            && self.callsites.is_empty()
            && self.stack.is_empty()
    }
}
