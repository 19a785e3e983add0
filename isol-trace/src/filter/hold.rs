//! Whether a term holds of a breach.

use super::{
    names::{Flag, Measure, Number, Text},
    term::{Term, Test},
    text::Pattern,
};
use crate::event::{
    ids::{Nanos, RuleId},
    model::{Breach, CauseDetail, Origin, Sender},
};

/// A breach, and what the log tells of it elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The breach.
    pub breach: &'a Breach,
    /// How long its task was away after it; `None` where that is not known.
    pub away: Option<Nanos>,
    /// When it was, in nanoseconds since 1970 began, UTC; `None` where the log has no header.
    pub wall: Option<i64>,
    /// A baseline does not have it; `None` where there is no baseline.
    pub is_new: Option<bool>,
}

impl Subject<'_> {
    /// Whether a term holds. What is not known of a breach does not hold, so that its negation does.
    pub(super) fn holds(&self, term: &Term) -> bool {
        self.passes(&term.test) != term.is_negated
    }

    /// Whether what is asked is known of the breach, and so.
    fn passes(&self, test: &Test) -> bool {
        let breach = self.breach;
        match test {
            Test::Word(word) => has_anywhere(breach, word),
            Test::Number(number, ranges) => {
                let mut is_in = false;
                each_number(breach, *number, |it| {
                    is_in |= ranges.iter().any(|range| range.contains(&it));
                });
                is_in
            }
            Test::Text(kind, patterns) => patterns
                .iter()
                .any(|pattern| has_text(breach, *kind, pattern)),
            Test::Cause(causes) => causes.contains(&breach.cause.cause()),
            Test::Activity(kinds) => breach
                .activities
                .iter()
                .any(|item| kinds.contains(&item.kind)),
            Test::End(ends) => ends.contains(&breach.end),
            Test::Measure(measure, limit) => {
                let length = match measure {
                    Measure::Duration => breach.duration,
                    Measure::Away => self.away,
                    Measure::Idle => Some(breach.idle),
                };
                length.is_some_and(|it| limit.holds(it))
            }
            Test::Time(spans) => self
                .wall
                .is_some_and(|wall| spans.iter().any(|span| span.has(wall))),
            Test::Flag(Flag::Section) => breach.section == Some(true),
            Test::Flag(Flag::Inferred) => senders(breach).any(|sender| sender.inferred),
            // No breach of a log is of a guest yet.
            Test::Flag(Flag::Guest) => false,
            Test::Flag(Flag::New) => self.is_new == Some(true),
        }
    }
}

/// Hands over every number of a kind that the breach has.
fn each_number(breach: &Breach, number: Number, mut take: impl FnMut(u64)) {
    match number {
        Number::Cpu => take(breach.cpu.0.into()),
        Number::Pid => {
            if let Some(pid) = breach.task.pid {
                take(pid.0.into());
            }
        }
        Number::Tid => take(breach.task.tid.0.into()),
        Number::Seq => take(breach.seq.0),
        Number::SenderCpu => {
            for cpu in senders(breach).filter_map(|it| it.cpu) {
                take(cpu.0.into());
            }
        }
        Number::SenderPid => {
            let tasks = senders(breach).filter_map(|it| it.task.as_ref());
            for pid in tasks.filter_map(|it| it.pid) {
                take(pid.0.into());
            }
        }
        Number::Vcpu => {}
    }
}

/// Whether the breach has a text of a kind that is what was meant.
fn has_text(breach: &Breach, text: Text, pattern: &Pattern) -> bool {
    let is = |it: Option<&str>| it.is_some_and(|it| pattern.is_match(it));
    match text {
        Text::Syscall => match breach.cause {
            CauseDetail::Syscall { number, .. } => {
                is(breach.cause_name.as_deref()) || is_number(pattern, number)
            }
            CauseDetail::CompatSyscall { number } => {
                is(breach.cause_name.as_deref()) || is_number(pattern, Some(number))
            }
            _ => false,
        },
        Text::Task => is(breach.task.comm.as_deref()),
        Text::Sender => senders(breach).any(|it| is(comm(it))),
        Text::Function => functions(breach).any(|it| pattern.is_function(it)),
        Text::At => breach
            .location
            .as_deref()
            .is_some_and(|it| pattern.is_function(it)),
        Text::Source => breach
            .source
            .as_deref()
            .is_some_and(|it| pattern.is_source(it)),
        Text::Remedy => is(breach.remedy.as_ref().map(RuleId::as_str)),
        // No breach of a log has these yet.
        Text::Cgroup | Text::Vm | Text::Exit => false,
    }
}

/// Whether a pattern is the number of a system call.
fn is_number(pattern: &Pattern, number: Option<u32>) -> bool {
    number.is_some_and(|it| pattern.is_match(&it.to_string()))
}

/// Whether a text is in the task, the cause, a function, the sender, the source or the remedy.
fn has_anywhere(breach: &Breach, word: &Pattern) -> bool {
    let known = [
        breach.task.comm.as_deref(),
        Some(breach.cause.cause().word()),
        breach.cause_name.as_deref(),
        breach.location.as_deref(),
        breach.source.as_deref(),
        breach.remedy.as_ref().map(RuleId::as_str),
    ];
    known.into_iter().flatten().any(|it| word.is_match(it))
        || breach.inlined.iter().any(|it| word.is_match(it))
        || functions(breach).any(|it| word.is_match(it))
        || senders(breach).filter_map(comm).any(|it| word.is_match(it))
}

fn comm(sender: &Sender) -> Option<&str> {
    sender.task.as_ref().and_then(|it| it.comm.as_deref())
}

/// Who asked for the breach, or for one of its activities.
fn senders(breach: &Breach) -> impl Iterator<Item = &Sender> {
    let activities = breach.activities.iter().filter_map(|it| it.origin.as_ref());
    breach
        .origins
        .iter()
        .chain(activities)
        .filter_map(Origin::sender)
}

/// Functions of the kernel and of senders: handlers, callbacks, call sites, activities and frames of stacks.
fn functions(breach: &Breach) -> impl Iterator<Item = &str> {
    let handler = breach.cause_handler.as_deref();
    let activities = breach.activities.iter().filter_map(|it| it.name.as_deref());
    handler
        .into_iter()
        .chain(activities)
        .chain(senders(breach).flat_map(|sender| {
            let single = [&sender.callback, &sender.callsite].into_iter().flatten();
            let of_kernel = single
                .chain(&sender.stack)
                .filter_map(|it| it.name.as_deref());
            of_kernel.chain(sender.user_stack.iter().map(AsRef::as_ref))
        }))
}
