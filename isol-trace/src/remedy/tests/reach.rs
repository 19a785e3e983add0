//! No condition of the table stands behind another one that takes all its breaches.

use super::{
    super::{
        condition::{Access, Condition},
        pattern::Pattern,
    },
    build::{device, exception, fault, nmi, on, sender, syscall},
    embedded,
};
use crate::event::model::{Activity, Breach, Cause, Origin, Via};

/// A name that a pattern matches.
fn name(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(name) => name.to_string(),
        Pattern::Prefix(prefix) => format!("{prefix}9"),
    }
}

/// The names that a list of patterns asks for, one at a time; an odd one where it asks for none.
fn names(patterns: &[Pattern]) -> Vec<String> {
    if patterns.is_empty() {
        return vec!["whatever".to_owned()];
    }
    patterns.iter().map(name).collect()
}

fn of_cause(cause: Cause, when: &Condition, word: &str, handler: &str) -> Breach {
    match cause {
        Cause::Syscall => syscall(word),
        Cause::Exception => exception(word),
        Cause::DeviceIrq => device(word, handler),
        Cause::Nmi => nmi(handler),
        Cause::PageFault => {
            let asked = when.fault.as_ref();
            let access = match asked.and_then(|fault| fault.access.first()) {
                Some(Access::Write) => "write",
                Some(Access::Fetch) => "fetch",
                Some(Access::Read) | None => "read",
            };
            let protection = asked.and_then(|fault| fault.protection).unwrap_or(false);
            let address = asked.and_then(|fault| fault.address.as_ref());
            fault(
                access,
                protection,
                address.map_or(0x7f00_0000_0000, |range| *range.start()),
            )
        }
        other => on(other),
    }
}

/// The least of one cause that meets a condition, once for each name that it lists.
fn least(cause: Cause, when: &Condition) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for word in names(&when.names) {
        for handler in names(&when.handlers) {
            breaches.push(of_cause(cause, when, &word, &handler));
        }
    }
    if !when.args.is_empty() {
        let with = breaches.into_iter().map(|breach| breach.with(&when.args));
        breaches = with.collect();
    }
    if let Some(section) = when.section {
        let within = breaches.into_iter().map(|breach| breach.within(section));
        breaches = within.collect();
    }
    if let Some(&end) = when.ends.first() {
        breaches = breaches
            .into_iter()
            .map(|breach| breach.ended(end))
            .collect();
    }
    if let Some(did) = &when.activity {
        let kinds = || Activity::ALL.iter().filter(|&&kind| did.is_kind(kind));
        breaches = breaches
            .iter()
            .flat_map(|breach| kinds().map(move |kind| (breach, *kind)))
            .flat_map(|(breach, kind)| {
                let frames = names(&did.stack);
                let named = names(&did.names).into_iter();
                named.flat_map(move |name| {
                    let did = breach.clone().did(kind, &name);
                    let by = |frame: &String| did.clone().by(&[frame]);
                    frames.iter().map(by).collect::<Vec<_>>()
                })
            })
            .collect();
    }
    if let Some(asked) = &when.origin {
        let mut all = Vec::new();
        for breach in &breaches {
            for callback in names(&asked.callbacks) {
                for frame in names(&asked.stack) {
                    let via = Via::ALL.iter().find(|&&via| asked.is_via(via));
                    let via = *via.expect("every condition allows some way");
                    let sender = sender(via, Some(&callback), &[&frame]);
                    let origin = match asked.kinds.first() {
                        Some(&"tracer") => Origin::Tracer(sender),
                        Some(&"kernel") => Origin::Kernel(Some(sender)),
                        _ => Origin::Remote(sender),
                    };
                    let mut breach = breach.clone();
                    breach.origins = vec![origin];
                    all.push(breach);
                }
            }
        }
        breaches = all;
    }
    breaches
}

#[test]
fn every_name_of_every_condition_is_met_by_some_breach_that_no_rule_before_takes() {
    let rules = embedded();
    for (place, when) in &rules.conditions {
        let rule = &rules.all()[*place];
        let causes = Cause::ALL.iter().filter(|&&cause| when.is_of(cause));
        let of_causes: Vec<_> = causes.map(|&cause| least(cause, when)).collect();
        for variant in 0..of_causes[0].len() {
            let taken = of_causes.iter().map(|breaches| {
                let found = rules.find(&breaches[variant]);
                found.map(|rule| rule.id.as_str())
            });
            let taken: Vec<_> = taken.collect();
            assert!(
                taken.contains(&Some(rule.id.as_str())),
                "{}: {when:?}\ntaken by {taken:?}: {:?} {:?}",
                rule.id,
                of_causes[0][variant].activities,
                of_causes[0][variant].origins
            );
        }
    }
}
