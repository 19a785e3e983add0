//! `doctor`: what a host isolates, what it leaves noisy, and how to mend it.
//!
//! [`Facts`] come from the readers of [`crate::host`]; [`examine`] makes findings of them, pure.
//!
//! - [`facts`]: what is known of a host;
//! - [`finding`]: one thing that was checked: how it stands, what it costs, what mends it;
//! - `check`: the checks, one file an area; `rule`: the rules that they name; `shell`: words of commands;
//! - [`mending`]: one kernel command line and one script for all of them;
//! - [`coverage`]: which probes would attach and what would not be seen;
//! - [`text`] and [`json`]: the report for people and for machines.

mod check;
pub mod coverage;
pub mod facts;
pub mod finding;
pub mod json;
pub mod mending;
mod rule;
mod shell;
pub mod text;

pub use facts::Facts;
pub use finding::{Finding, Severity};

use coverage::Coverage;
use mending::Mending;

/// All that the doctor says of a host.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is known.
    pub facts: Facts,
    /// What follows, the worst first.
    pub findings: Vec<Finding>,
    /// What mends them.
    pub mending: Mending,
    /// What a trace would see.
    pub coverage: Coverage,
}

impl Report {
    /// Examines the facts.
    #[must_use]
    pub fn new(facts: Facts, coverage: Coverage) -> Self {
        let findings = examine(&facts);
        Self {
            mending: Mending::of(&facts, &findings),
            findings,
            facts,
            coverage,
        }
    }

    /// How many findings are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings.filter(|it| it.severity == severity).count()
    }
}

/// Every finding about a host: the worst first, then by area and name.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = check::all(facts);
    findings.sort_by_key(|finding| (finding.severity, finding.area, finding.id));
    findings
}

#[cfg(test)]
mod tests;
