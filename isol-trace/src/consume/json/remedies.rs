//! Records of remedies: what ends a kind of breach, with the numbers of this host.
//!
//! A breach names its rule; the first of a rule, and of the numbers that its commands have, brings a
//! record with the words and the commands. So a log can be read without a table of the rules.

use std::collections::HashSet;

use crate::{
    event::{
        ids::RuleId,
        model::{Breach, Event},
    },
    remedy::{Numbers, Remedy, Rules},
};

/// Remedies that one log spells out: rules with the number of a process in a command could make as
/// many as there are processes.
const MOST: usize = 1024;

/// Which remedies a log has.
#[derive(Debug, Default)]
pub(super) struct Remedies {
    /// The host's numbers.
    host: Numbers,
    /// Rules without numbers of a breach in their commands.
    rules: HashSet<RuleId>,
    /// Rules with such numbers.
    breaches: HashSet<(RuleId, String)>,
}

impl Remedies {
    /// Takes the CPUs of a header or a change: from then on commands have other numbers.
    pub(super) fn hear(&mut self, event: &Event) {
        let host = match event {
            Event::Header(header) => Numbers::of_header(header),
            Event::Watched(set) => self.host.watching(&set.cpus, &set.housekeeping),
            _ => return,
        };
        if host != self.host {
            *self = Self {
                host,
                ..Self::default()
            };
        }
    }

    /// The remedy of a breach, where it is new to the log.
    pub(super) fn new_of(&mut self, breach: &Breach) -> Option<Remedy> {
        let id = breach.remedy.as_ref()?;
        if self.rules.contains(id) || self.rules.len() + self.breaches.len() >= MOST {
            return None;
        }
        let rule = Rules::embedded().ok()?.get(id)?;
        if !rule.is_of_one_breach() {
            self.rules.insert(id.clone());
            return Some(rule.filled(&self.host));
        }
        let numbers = self.host.with(breach).of_commands();
        let is_new = self.breaches.insert((id.clone(), rule.key(&numbers)));
        is_new.then(|| rule.filled(&numbers))
    }
}
