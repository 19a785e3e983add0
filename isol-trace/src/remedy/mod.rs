//! Remedies: what would end a breach, by a table of rules.
//!
//! The table is data, `rules.toml`. This room reads it (`table`), finds the first rule whose conditions a breach meets
//! (`condition`), and puts the numbers of a host in its texts (`template`, `rendered`). Names have been filled in by
//! then; nothing is looked up here, and finding a rule allocates nothing.

mod condition;
mod pattern;
mod rendered;
mod table;
mod template;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use self::condition::Condition;
pub use self::{
    rendered::{Ends, Remedy},
    table::TableError,
    template::{Numbers, Template},
};
use crate::event::{
    ids::RuleId,
    model::{Breach, Cause},
};

/// The reviewed table.
const TABLE: &str = include_str!("rules.toml");

/// What ends one kind of breach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable name.
    pub id: RuleId,
    /// Why the kernel was entered, in one sentence.
    pub why: Template,
    /// The setting, boot argument or change of code that ends it.
    pub remedy: Template,
    /// Who or what ends it.
    pub ends: Ends,
    /// Commands of a shell, run as root, that end it or help to.
    pub run: Vec<Template>,
    /// Arguments of the kernel's command line that do.
    pub boot: Vec<Template>,
    /// A command, or what to look for, that shows whether it did.
    pub verify: Template,
    /// The kernels that it holds for, in words.
    pub kernels: String,
    /// The kernel lines on which a test applies it and sees the breaches end.
    pub tried: Vec<String>,
    /// The kernel's file and version that it was read from.
    pub source: Option<String>,
    /// No breach shows it: only a look at the host does.
    pub host_only: bool,
}

/// The table, indexed by what a breach shows at once.
#[derive(Debug)]
pub struct Rules {
    /// In the order of the file.
    all: Vec<Rule>,
    /// Conditions with the place of their rule, in the order of the file.
    conditions: Vec<(usize, Condition)>,
    /// By [`Cause`].
    by_cause: HashMap<Cause, Candidates>,
}

/// Conditions that a breach of one cause may meet, in the order of the file.
#[derive(Debug, Default)]
struct Candidates {
    /// Where the cause's name is one that some condition spells out.
    by_name: HashMap<Box<str>, Vec<Candidate>>,
    /// Where it is any other, or has none.
    otherwise: Vec<Candidate>,
}

/// A condition to try.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Its place.
    place: usize,
    /// The index has compared the cause's name.
    named: bool,
}

impl Rules {
    /// The table that this program was built with. An error is a defect of the file, which the
    /// tests exclude.
    pub fn embedded() -> Result<&'static Self, &'static TableError> {
        static RULES: LazyLock<Result<Rules, TableError>> = LazyLock::new(|| Rules::parse(TABLE));
        RULES.as_ref()
    }

    /// Reads a table.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let (rules, conditions) = table::parse(text)?;
        let mut by_cause: HashMap<Cause, Candidates> = HashMap::new();
        for &cause in Cause::ALL {
            by_cause.insert(cause, Candidates::of(cause, &conditions));
        }
        Ok(Self {
            all: rules,
            conditions,
            by_cause,
        })
    }

    /// Every rule, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.all
    }

    /// The rule of a name; `None` for one that this version does not know.
    #[must_use]
    pub fn get(&self, id: &RuleId) -> Option<&Rule> {
        self.all.iter().find(|rule| rule.id == *id)
    }

    /// The first rule in the file that a named breach satisfies.
    #[must_use]
    pub fn find(&self, breach: &Breach) -> Option<&Rule> {
        let candidates = self.by_cause.get(&breach.cause.cause())?;
        let named = breach
            .cause_name
            .as_deref()
            .and_then(|name| candidates.by_name.get(name));
        let found = named
            .unwrap_or(&candidates.otherwise)
            .iter()
            .filter_map(|&Candidate { place, named }| {
                self.conditions
                    .get(place)
                    .map(|(rule, condition)| (rule, condition, named))
            })
            .find(|(_, condition, named)| condition.is_met(breach, *named));
        found.and_then(|(&rule, ..)| self.all.get(rule))
    }
}

impl Candidates {
    /// Of all conditions those that a breach of this cause may meet.
    fn of(cause: Cause, conditions: &[(usize, Condition)]) -> Self {
        let of_cause = || {
            let places = conditions.iter().enumerate();
            places.filter(|(_, (_, condition))| condition.is_of(cause))
        };
        let mut by_name = HashMap::new();
        for (_, (_, condition)) in of_cause() {
            for name in condition.exact_names() {
                by_name.entry(Box::from(name)).or_insert_with(|| {
                    of_cause()
                        .filter_map(|(place, (_, condition))| {
                            let named = condition.exact_names().any(|exact| exact == name);
                            (named || condition.allows_other_names())
                                .then_some(Candidate { place, named })
                        })
                        .collect()
                });
            }
        }
        let otherwise = of_cause()
            .filter(|(_, (_, condition))| condition.allows_other_names())
            .map(|(place, _)| Candidate {
                place,
                named: false,
            })
            .collect();
        Self { by_name, otherwise }
    }
}
