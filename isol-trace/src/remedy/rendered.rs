//! What ends a breach, with the numbers of a host.

use super::{
    Rule,
    template::{Hole, Numbers, Template},
};
use crate::event::ids::RuleId;

/// Who or what ends the breaches of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Commands, as root, until the next boot.
    Command,
    /// Arguments on the kernel's command line.
    Boot,
    /// Other behaviour of a program: of the task itself, or of another one.
    Application,
    /// No setting of the host and no program: the text says so.
    Nothing,
}

impl Ends {
    /// Each with its word in the table.
    pub(super) const WORDS: [(&'static str, Self); 4] = [
        ("command", Self::Command),
        ("boot", Self::Boot),
        ("application", Self::Application),
        ("nothing", Self::Nothing),
    ];

    /// Who it is, for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Command => "A command, until the next boot.",
            Self::Boot => "A boot argument.",
            Self::Application => "A change of what programs do.",
            Self::Nothing => "No setting and no program.",
        }
    }
}

/// A rule with the numbers of a host, and of a breach where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The rule.
    pub id: RuleId,
    /// What ends it, in words.
    pub text: String,
    /// Commands to run as root. Those with a number that is not known are left out.
    pub run: Vec<String>,
    /// Arguments for the kernel's command line. Those that the host's kernel does not know are left
    /// out.
    pub boot: Vec<String>,
    /// What shows that it is over.
    pub verify: String,
}

impl Rule {
    /// With the numbers of a host.
    #[must_use]
    pub fn filled(&self, numbers: &Numbers) -> Remedy {
        let whole = |all: &[Template]| -> Vec<_> {
            all.iter().filter_map(|one| one.whole(numbers)).collect()
        };
        let mut boot = whole(&self.boot);
        boot.retain(|argument| numbers.takes(argument));
        Remedy {
            id: self.id.clone(),
            text: self.remedy.text(numbers),
            run: whole(&self.run),
            boot,
            verify: self.verify.text(numbers),
        }
    }

    /// Whether a number of one breach, such as an interrupt's, tells it from its remedy of other breaches.
    #[must_use]
    pub fn is_of_one_breach(&self) -> bool {
        self.telling_holes().any(Hole::is_of_a_breach)
    }

    /// What tells two remedies of this rule apart: the values in its commands, and the CPU and the interrupt in its words.
    #[must_use]
    pub fn key(&self, numbers: &Numbers) -> String {
        numbers.values(self.telling_holes())
    }

    fn telling_holes(&self) -> impl Iterator<Item = Hole> + '_ {
        let commands = self.run.iter().chain(&self.boot);
        let words = [&self.remedy, &self.verify].into_iter();
        let few = words
            .flat_map(Template::holes)
            .filter(|hole| hole.is_of_few());
        commands.flat_map(Template::holes).chain(few)
    }
}

impl Remedy {
    /// For a screen: the rule's name and text in one line, then each command and argument.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.id, self.text)];
        lines.extend(self.run.iter().map(|command| format!("run: {command}")));
        if !self.boot.is_empty() {
            lines.push(format!("boot: {}", self.boot.join(" ")));
        }
        lines
    }
}
