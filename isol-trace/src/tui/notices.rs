//! What a reader of the figures must know about them: what is missing, and why.

use super::{model::Model, text};
use crate::event::model::Detection;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Something is missing or wrong.
    Alarm,
    /// The figures mean a little less than they seem to.
    Warning,
}

/// A short sentence for the top of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub weight: Weight,
    /// The sentence.
    pub text: String,
}

/// What is to be said about a model, what matters most first.
#[must_use]
pub fn notices(model: &Model) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut say = |weight, text: String| notices.push(Notice { weight, text });
    let lost = model.lost();
    if lost > 0 {
        let records = text::counted(lost, "record", "records");
        say(Weight::Alarm, format!("lost {records} (totals stay exact)"));
    }
    let unattributed = model.sum(|cpu| cpu.unattributed).unwrap_or(0);
    if unattributed > 0 {
        say(
            Weight::Alarm,
            format!("{} unattributed", text::count(unattributed)),
        );
    }
    if let Some(tracer) = &model.tracer {
        if !tracer.missed_runs.is_empty() {
            let programs: Vec<String> = tracer
                .missed_runs
                .iter()
                .map(|(program, runs)| format!("{program} {}", text::count(*runs)))
                .collect();
            say(
                Weight::Alarm,
                format!("missed runs: {}", programs.join(", ")),
            );
        }
        if tracer.breaches > 0 {
            let breaches = text::counted(tracer.breaches, "breach", "breaches");
            say(Weight::Alarm, format!("{breaches} by isol-trace itself"));
        }
    }
    let failed = model.failed_probes() as u64;
    if failed > 0 {
        let probes = text::counted(failed, "probe", "probes");
        say(Weight::Alarm, format!("{probes} failed (key 2)"));
    }
    if let Some(age) = model.stale() {
        say(
            Weight::Alarm,
            format!("no totals for {}", text::lasted(age)),
        );
    }
    if let Some(header) = &model.header {
        let derived: Vec<_> = header
            .cpus
            .iter()
            .filter(|(_, by)| *by == Detection::Vectors)
            .map(|(cpu, _)| *cpu)
            .collect();
        if !derived.is_empty() {
            let cpus = text::cpu_list(derived);
            say(
                Weight::Warning,
                format!("CPU {cpus}: entries derived from vectors (key 2)"),
            );
        }
    }
    for (age, what) in model.recent_changes() {
        say(Weight::Warning, format!("{what} {} ago", text::lasted(age)));
    }
    if model.skipped > 0 {
        let breaches = text::counted(model.skipped, "breach", "breaches");
        say(
            Weight::Warning,
            format!("list sampled: {breaches} counted, not listed"),
        );
    }
    notices
}
