//! For every rule a breach that it is the remedy of, and a near miss that it is not.

mod calls;
mod clocks;
mod kicks;
mod own;
mod timers;
mod tlb;
mod work;

use std::collections::BTreeSet;

use super::{embedded, found};
use crate::event::model::Breach;

/// A rule, a breach that fires it, and one that nearly does and fires another one, or none.
struct Case {
    rule: &'static str,
    fires: Breach,
    near: Breach,
    instead: Option<&'static str>,
}

fn case(rule: &'static str, fires: Breach, near: Breach, instead: Option<&'static str>) -> Case {
    Case {
        rule,
        fires,
        near,
        instead,
    }
}

fn all() -> Vec<Case> {
    [
        clocks::cases(),
        tlb::cases(),
        calls::cases(),
        work::cases(),
        timers::cases(),
        own::cases(),
        kicks::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn a_rule_fires_for_its_breach_and_not_for_a_near_miss() {
    for Case {
        rule,
        fires,
        near,
        instead,
    } in all()
    {
        assert_eq!(found(&fires), Some(rule), "{fires:?}");
        assert_ne!(Some(rule), instead);
        assert_eq!(found(&near), instead, "near {rule}: {near:?}");
    }
}

#[test]
fn every_rule_that_a_breach_can_show_has_a_case() {
    let tested: BTreeSet<_> = all().iter().map(|case| case.rule).collect();
    let shown = embedded().all().iter().filter(|rule| !rule.host_only);
    let shown: BTreeSet<_> = shown.map(|rule| rule.id.as_str()).collect();
    assert_eq!(tested, shown);
}
