//! What holds for every log, whatever was traced: the rules of the contract.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use isol_trace_common::{activity::Activity, cause::Cause, record::End};

use super::log::{Breach, CpuTotals, Kill, Line, for_each};

/// Who raises a signal.
const RAISERS: [&str; 6] = [
    "strict-mode",
    "tracer",
    "task",
    "remote",
    "kernel",
    "unknown",
];

/// Problems listed at most; the rest is counted.
const SHOWN: usize = 20;

/// Folds the lines of one log.
#[derive(Debug, Default)]
pub struct Invariants {
    problems: Vec<String>,
    more: usize,
    lines: u64,
    last_seq: u64,
    last_type: &'static str,
    records: BTreeMap<u32, u64>,
    lost: BTreeMap<u32, u64>,
    causes: BTreeMap<(u32, String), u64>,
    summary: Vec<CpuTotals>,
    /// Breaches of which the tracer is an origin, and how many it says there are.
    by_the_tracer: u64,
    tracer_breaches: u64,
    watched: Vec<u32>,
    released: Vec<u32>,
}

impl Invariants {
    /// Takes the next line.
    pub fn line(&mut self, text: &str) {
        self.lines += 1;
        let line = match Line::parse(text) {
            Ok(line) => line,
            Err(error) => return self.problem(format!("line {}: {error:#}: {text}", self.lines)),
        };
        if (self.lines == 1) != matches!(line, Line::Header(_)) {
            self.problem(format!("line {}: the header comes first, once", self.lines));
        }
        if self.last_type == "summary" {
            self.problem(format!("line {} follows the summary", self.lines));
        }
        self.last_type = "other";
        match line {
            Line::Header(header) => {
                if !header.schema.starts_with("isol-trace/") {
                    self.problem(format!("schema {}", header.schema));
                }
                for cpu in &header.cpus {
                    if !matches!(cpu.detection.as_str(), "context-tracking" | "vectors") {
                        self.problem(format!("CPU {}: detection {}", cpu.cpu, cpu.detection));
                    }
                    if header.housekeeping.contains(&cpu.cpu) {
                        self.problem(format!("CPU {} is watched and housekeeping", cpu.cpu));
                    }
                }
                for probe in &header.probes {
                    let told = probe.why.as_ref().is_some_and(|why| !why.is_empty());
                    match probe.state.as_str() {
                        "attached" => {}
                        "absent" | "failed" if told => {}
                        _ => self.problem(format!("probe {}: {probe:?}", probe.name)),
                    }
                }
                self.watched = header.cpus.iter().map(|cpu| cpu.cpu).collect();
            }
            Line::Breach(breach) => self.breach(&breach),
            Line::Back(back) => {
                if back.away_ns < 0 {
                    self.problem(format!("line {}: away for {}", self.lines, back.away_ns));
                }
                if back
                    .breach
                    .is_some_and(|seq| seq == 0 || seq > self.last_seq)
                {
                    let message = format!("line {}: back from a later breach", self.lines);
                    self.problem(message);
                }
            }
            Line::Lost(cpu, records) => *self.lost.entry(cpu).or_default() += records,
            Line::Summary(summary) => {
                self.last_type = "summary";
                self.summary = summary.cpus;
                self.tracer_breaches = summary.tracer.breaches;
            }
            // A CPU that left may still have records in its ring.
            Line::Watched(change) => {
                self.watched.extend(change.cpus.iter().map(|cpu| cpu.cpu));
                let changes = change.changes.iter();
                let released = changes.filter(|one| one.change == "released");
                self.released.extend(released.map(|one| one.cpu));
                for cpu in &change.cpus {
                    if change.housekeeping.contains(&cpu.cpu) {
                        self.problem(format!("CPU {} is watched and housekeeping", cpu.cpu));
                    }
                }
            }
            Line::Kill(kill) => self.kill(&kill),
            Line::Moved(_) | Line::Other(_) => {}
        }
    }

    /// A kill names only breaches that the log has shown, in order.
    fn kill(&mut self, kill: &Kill) {
        let ordered = kill.history.is_sorted_by(|one, next| one < next);
        let known = kill
            .history
            .iter()
            .chain(&kill.breach)
            .all(|&seq| seq != 0 && seq <= self.last_seq);
        if !ordered || !known {
            self.problem(format!(
                "line {}: a kill after breach {}: {kill:?}",
                self.lines, self.last_seq
            ));
        }
        if !(1..=64).contains(&kill.signal) || !RAISERS.contains(&kill.by.as_str()) {
            self.problem(format!("line {}: {kill:?}", self.lines));
        }
    }

    fn breach(&mut self, breach: &Breach) {
        let seq = breach.seq;
        if seq <= self.last_seq {
            self.problem(format!("seq {seq} after {}", self.last_seq));
        }
        self.last_seq = seq;
        self.by_the_tracer += u64::from(breach.is_by_the_tracer());
        if Cause::from_word(&breach.cause.kind).is_none() {
            self.problem(format!("breach {seq}: cause {}", breach.cause.kind));
        }
        for activity in &breach.activity {
            if Activity::from_word(&activity.kind).is_none() {
                self.problem(format!("breach {seq}: activity {}", activity.kind));
            }
            if activity.net_ns.is_some_and(|net| net < 0) {
                self.problem(format!(
                    "breach {seq}: {} took a negative time",
                    activity.kind
                ));
            }
        }
        if End::from_word(&breach.end).is_none() {
            self.problem(format!("breach {seq}: end {}", breach.end));
        }
        if !self.watched.contains(&breach.cpu) {
            self.problem(format!("breach {seq}: CPU {} is not watched", breach.cpu));
        }
        if breach.task.tid == 0 {
            self.problem(format!(
                "breach {seq}: the idle task has no user mode to leave"
            ));
        }
        if breach.duration_ns.is_some_and(|time| time < 0)
            || breach.idle_ns.is_some_and(|time| time < 0)
        {
            self.problem(format!("breach {seq}: a negative time"));
        }
        if breach.origins.is_empty() {
            self.problem(format!("breach {seq}: no origin, not even unknown"));
        }
        *self.records.entry(breach.cpu).or_default() += 1;
        *self
            .causes
            .entry((breach.cpu, breach.cause.kind.clone()))
            .or_default() += 1;
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < SHOWN {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// What is wrong with the whole log.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        if self.last_type != "summary" {
            self.problem("the last line is no summary".to_owned());
            return self.problems;
        }
        for totals in std::mem::take(&mut self.summary) {
            self.ledger(&totals);
        }
        if self.tracer_breaches < self.by_the_tracer {
            self.problem(format!(
                "{} breaches are the tracer's, and it counts {}",
                self.by_the_tracer, self.tracer_breaches
            ));
        }
        if self.more > 0 {
            self.problems.push(format!("and {} more", self.more));
        }
        self.problems
    }

    /// The ledger equation, and the sums that follow from it.
    fn ledger(&mut self, totals: &CpuTotals) {
        let cpu = totals.cpu;
        let records = self.records.get(&cpu).copied().unwrap_or(0);
        let by_cause = totals.attributed + totals.unattributed;
        let by_record = records + totals.lost + totals.filtered + totals.open;
        if totals.entries != by_cause {
            self.problem(format!(
                "CPU {cpu}: entries {} are not attributed {} + unattributed {}",
                totals.entries, totals.attributed, totals.unattributed
            ));
        }
        if totals.entries != by_record {
            self.problem(format!(
                "CPU {cpu}: entries {} are not records {records} + lost {} + filtered {} + open {}",
                totals.entries, totals.lost, totals.filtered, totals.open
            ));
        }
        // One at the end, and one whenever the CPU was watched no longer.
        let released = self.released.iter().filter(|&&one| one == cpu).count() as u64;
        if totals.open > 1 + released {
            self.problem(format!("CPU {cpu}: {} open entries", totals.open));
        }
        let lost = self.lost.get(&cpu).copied().unwrap_or(0);
        if lost != totals.lost {
            self.problem(format!(
                "CPU {cpu}: lost lines say {lost}, the summary {}",
                totals.lost
            ));
        }
        let counted: u64 = totals.causes.values().map(|cause| cause.count).sum();
        let breaches = totals.entries - totals.filtered.min(totals.entries);
        if counted + totals.open < breaches || counted > breaches {
            self.problem(format!(
                "CPU {cpu}: causes sum to {counted}, breaches are {breaches} of which {} open",
                totals.open
            ));
        }
        for word in totals.causes.keys() {
            if Cause::from_word(word).is_none() {
                self.problem(format!("CPU {cpu}: cause {word} in the summary"));
            }
        }
        if totals.lost == 0 && totals.open == 0 {
            let of_log: BTreeMap<&str, u64> = self
                .causes
                .iter()
                .filter(|((of, _), _)| *of == cpu)
                .map(|((_, word), count)| (word.as_str(), *count))
                .collect();
            let of_summary: BTreeMap<&str, u64> = totals
                .causes
                .iter()
                .filter(|(_, cause)| cause.count > 0)
                .map(|(word, cause)| (word.as_str(), cause.count))
                .collect();
            if of_log != of_summary {
                let message =
                    format!("CPU {cpu}: records by cause {of_log:?}, summary {of_summary:?}");
                self.problem(message);
            }
        }
    }
}

/// What is wrong with a log.
pub fn check(path: &Path) -> Result<Vec<String>> {
    let mut invariants = Invariants::default();
    for_each(path, |_, text| {
        invariants.line(text);
        Ok(())
    })?;
    Ok(invariants.finish())
}

#[cfg(test)]
mod tests;
