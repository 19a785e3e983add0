//! The text of the table, made into rules that cannot hold nonsense.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::{
    Rule,
    condition::{Access, ActivityMatch, Condition, Fault, OriginMatch, Words},
    pattern::Pattern,
    rendered::Ends,
    template::Template,
};
use crate::event::{
    ids::RuleId,
    model::{Activity, Cause, End, Origin, Via},
};

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It is no TOML, or has a field that rules do not have, or lacks one.
    #[error("the table of rules cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// A name that is not words of small letters and digits with dashes between them.
    #[error("'{0}' is no name for a rule")]
    Id(String),
    /// Two rules of one name.
    #[error("two rules are named '{0}'")]
    Twice(RuleId),
    /// A text that says nothing.
    #[error("'{rule}' has an empty '{field}'")]
    Empty {
        /// The rule.
        rule: RuleId,
        /// The field.
        field: &'static str,
    },
    /// A word that its list does not have.
    #[error("'{rule}' asks for the {field} '{word}', and there is none")]
    Word {
        /// The rule.
        rule: RuleId,
        /// The list.
        field: &'static str,
        /// The word.
        word: String,
    },
    /// A condition without a cause or an activity without a kind: it would look at everything.
    #[error("'{rule}' has a condition that names no {field}")]
    Open {
        /// The rule.
        rule: RuleId,
        /// What is missing.
        field: &'static str,
    },
    /// What stands between braces is no hole that can be filled there.
    #[error("'{rule}' has '{{{hole}}}' in its '{field}', which nothing fills there")]
    Hole {
        /// The rule.
        rule: RuleId,
        /// The field.
        field: &'static str,
        /// What stands there.
        hole: String,
    },
    /// What ends it is named, and how is not.
    #[error("'{rule}' is ended by {field}, and has none")]
    Ends {
        /// The rule.
        rule: RuleId,
        /// The field that is empty.
        field: &'static str,
    },
    /// A rule without conditions that breaches should show, or with some that they cannot.
    #[error("'{0}' needs conditions, or 'host_only' and none")]
    Conditions(RuleId),
}

/// The word for every cause that is an interrupt: what others do to the task.
const INTERRUPT: &str = "interrupt";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    why: String,
    remedy: String,
    ends: String,
    #[serde(default)]
    run: Vec<String>,
    #[serde(default)]
    boot: Vec<String>,
    verify: String,
    kernels: String,
    #[serde(default)]
    tried: Vec<String>,
    source: Option<String>,
    #[serde(default)]
    host_only: bool,
    #[serde(default)]
    when: Vec<RawCondition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct RawCondition {
    cause: Vec<String>,
    name: Vec<String>,
    handler: Vec<String>,
    args: Vec<u64>,
    end: Vec<String>,
    section: Option<bool>,
    fault: Option<RawFault>,
    activity: Option<RawActivityMatch>,
    nothing: bool,
    without: Vec<String>,
    origin: Option<RawOriginMatch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFault {
    #[serde(default)]
    access: Vec<String>,
    protection: Option<bool>,
    address: Option<[RawAddress; 2]>,
}

/// An address: a number, or, where TOML has no number as large, `"0x…"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawAddress {
    Number(u64),
    Text(String),
}

impl RawAddress {
    fn value(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawActivityMatch {
    #[serde(default)]
    kind: Vec<String>,
    #[serde(default)]
    name: Vec<String>,
    #[serde(default)]
    stack: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct RawOriginMatch {
    kind: Vec<String>,
    via: Vec<String>,
    callback: Vec<String>,
    callsite: Vec<String>,
    stack: Vec<String>,
}

/// Rules in the order of the file, and their conditions with the places of their rules.
pub(super) type Parsed = (Vec<Rule>, Vec<(usize, Condition)>);

/// Reads a table.
pub(super) fn parse(text: &str) -> Result<Parsed, TableError> {
    let table: RawTable = toml::from_str(text)?;
    let mut rules: Vec<Rule> = Vec::with_capacity(table.rule.len());
    let mut conditions = Vec::new();
    for raw in table.rule {
        let place = rules.len();
        let whens = raw.when.len();
        let id = RuleId::new(&raw.id).ok_or_else(|| TableError::Id(raw.id.clone()))?;
        if rules.iter().any(|rule| rule.id == id) {
            return Err(TableError::Twice(id));
        }
        if raw.host_only != (whens == 0) {
            return Err(TableError::Conditions(id));
        }
        for when in raw.when {
            conditions.push((place, Reader { rule: &id }.when(when)?));
        }
        let reader = Reader { rule: &id };
        let ends = reader.ends(&raw.ends)?;
        let (run, boot) = (
            reader.commands("run", raw.run)?,
            reader.commands("boot", raw.boot)?,
        );
        for (needed, field, commands) in [(Ends::Command, "run", &run), (Ends::Boot, "boot", &boot)]
        {
            if ends == needed && commands.is_empty() {
                return Err(TableError::Ends { rule: id, field });
            }
        }
        rules.push(Rule {
            why: reader.template("why", raw.why)?,
            remedy: reader.template("remedy", raw.remedy)?,
            ends,
            run,
            boot,
            verify: reader.template("verify", raw.verify)?,
            kernels: said(&id, "kernels", raw.kernels)?,
            tried: raw.tried,
            source: raw.source,
            host_only: raw.host_only,
            id,
        });
    }
    Ok((rules, conditions))
}

/// A text that says something.
fn said(rule: &RuleId, field: &'static str, text: String) -> Result<String, TableError> {
    if text.trim().is_empty() {
        return Err(TableError::Empty {
            rule: rule.clone(),
            field,
        });
    }
    Ok(text)
}

/// Reads the conditions of one rule.
struct Reader<'a> {
    rule: &'a RuleId,
}

impl Reader<'_> {
    fn ends(&self, word: &str) -> Result<Ends, TableError> {
        let ends = Ends::WORDS.iter().find(|(it, _)| *it == word);
        let (_, ends) = ends.ok_or_else(|| self.unknown("end", word))?;
        Ok(*ends)
    }

    /// A text with holes that says something.
    fn template(&self, field: &'static str, text: String) -> Result<Template, TableError> {
        let text = said(self.rule, field, text)?;
        Template::parse(&text).map_err(|hole| self.hole(field, hole))
    }

    /// Commands, whose holes are numbers.
    fn commands(&self, field: &'static str, all: Vec<String>) -> Result<Vec<Template>, TableError> {
        let mut commands = Vec::with_capacity(all.len());
        for text in all {
            let command = self.template(field, text)?;
            if let Some(hole) = command.holes().find(|hole| !hole.is_number()) {
                return Err(self.hole(field, format!("{hole:?}")));
            }
            commands.push(command);
        }
        Ok(commands)
    }

    fn hole(&self, field: &'static str, hole: String) -> TableError {
        TableError::Hole {
            rule: self.rule.clone(),
            field,
            hole,
        }
    }

    fn when(&self, raw: RawCondition) -> Result<Condition, TableError> {
        Ok(Condition {
            causes: self.causes(&raw.cause)?,
            names: self.patterns("name", &raw.name)?,
            handlers: self.patterns("handler", &raw.handler)?,
            args: raw.args,
            ends: self.words("end", &raw.end, End::from_word)?,
            section: raw.section,
            fault: raw.fault.map(|fault| self.fault(&fault)).transpose()?,
            activity: raw.activity.map(|did| self.did(&did)).transpose()?,
            nothing: raw.nothing,
            without: self
                .words("activity", &raw.without, Activity::from_word)?
                .into_iter()
                .fold(Words::default(), |kinds, kind| kinds.with(kind as u8)),
            origin: raw.origin.map(|asked| self.asked(&asked)).transpose()?,
        })
    }

    fn causes(&self, raw: &[String]) -> Result<Words, TableError> {
        let mut causes = Words::default();
        for word in raw {
            if word == INTERRUPT {
                let interrupts = Cause::ALL.iter().filter(|&&cause| is_interrupt(cause));
                causes = interrupts.fold(causes, |causes, &cause| causes.with(cause as u8));
                continue;
            }
            let cause = Cause::from_word(word).ok_or_else(|| self.unknown("cause", word))?;
            causes = causes.with(cause as u8);
        }
        self.some("cause", causes)
    }

    fn fault(&self, raw: &RawFault) -> Result<Fault, TableError> {
        let access = |word: &str| match word {
            "read" => Some(Access::Read),
            "write" => Some(Access::Write),
            "fetch" => Some(Access::Fetch),
            _ => None,
        };
        let address = raw.address.as_ref().map(|[first, last]| {
            let range: RangeInclusive<u64> = first.value()?..=last.value()?;
            Some(range)
        });
        let address = match address {
            Some(None) => return Err(self.unknown("address", "no number")),
            Some(range) => range,
            None => None,
        };
        if let Some(range) = &address
            && range.is_empty()
        {
            return Err(self.unknown("address", &format!("{range:?}")));
        }
        Ok(Fault {
            access: self.words("access", &raw.access, access)?,
            protection: raw.protection,
            address,
        })
    }

    fn did(&self, raw: &RawActivityMatch) -> Result<ActivityMatch, TableError> {
        let kinds = self.words("activity", &raw.kind, Activity::from_word)?;
        let kinds = kinds
            .into_iter()
            .fold(Words::default(), |kinds, kind| kinds.with(kind as u8));
        Ok(ActivityMatch {
            kinds: self.some("activity", kinds)?,
            names: self.patterns("activity's name", &raw.name)?,
            stack: self.patterns("frame", &raw.stack)?,
        })
    }

    fn asked(&self, raw: &RawOriginMatch) -> Result<OriginMatch, TableError> {
        let via = self.words("via", &raw.via, Via::from_word)?;
        Ok(OriginMatch {
            kinds: self.words("origin", &raw.kind, |word| {
                Origin::WORDS.into_iter().find(|known| *known == word)
            })?,
            via: via
                .into_iter()
                .fold(Words::default(), |all, via| all.with(via as u8)),
            callbacks: self.patterns("callback", &raw.callback)?,
            callsites: self.patterns("callsite", &raw.callsite)?,
            stack: self.patterns("frame", &raw.stack)?,
        })
    }

    fn patterns(&self, field: &'static str, raw: &[String]) -> Result<Vec<Pattern>, TableError> {
        self.words(field, raw, Pattern::parse)
    }

    fn words<T>(
        &self,
        field: &'static str,
        raw: &[String],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, TableError> {
        raw.iter()
            .map(|word| parse(word).ok_or_else(|| self.unknown(field, word)))
            .collect()
    }

    fn some(&self, field: &'static str, words: Words) -> Result<Words, TableError> {
        if words == Words::default() {
            return Err(TableError::Open {
                rule: self.rule.clone(),
                field,
            });
        }
        Ok(words)
    }

    fn unknown(&self, field: &'static str, word: &str) -> TableError {
        TableError::Word {
            rule: self.rule.clone(),
            field,
            word: word.to_owned(),
        }
    }
}

/// Whether a cause is something that others do to the task, by an interrupt that can be masked.
const fn is_interrupt(cause: Cause) -> bool {
    cause.is_vector() || matches!(cause, Cause::DeviceIrq)
}
