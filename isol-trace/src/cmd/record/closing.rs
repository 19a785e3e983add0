//! What a person is told at the end of a recording: how many breaches, the worst, what would end most of them, and
//! what to do next.

use std::collections::BTreeMap;

use super::Command;
use crate::{
    consume::Consumer,
    event::{
        ids::{Address, Nanos, Pid, RuleId},
        kill::KilledBy,
        model::{Breach, Cause, CpuSummary, Event, Summary},
    },
    explain::{Gatherer, breach_in_words, name, rendered_report},
    host::cpu_list::CpuSet,
    remedy::{Numbers, Rules},
    tui::text::{count, counted, cpus_in_words, duration},
};

/// What a command's process is called before it executes the command: as isol-trace, or its guard, which started it.
const OURS: [&str; 2] = ["isol-trace", "isol-guard"];

/// Causes that are listed.
const CAUSES: usize = 4;

/// Letters of a list of CPUs that are shown beside a remedy.
const CPU_LIST: usize = 40;

/// What is kept of a recording to sum it up.
#[derive(Debug, Default)]
pub(super) struct Tally {
    breaches: u64,
    worst: Option<Box<Breach>>,
    by_remedy: BTreeMap<RuleId, Ended>,
    /// CPUs of the host, for commands.
    host: Numbers,
    has_section: bool,
    /// Only with a command: how tasks ended.
    ends: Option<Gatherer>,
}

/// The breaches that a remedy would end.
#[derive(Debug, Default)]
struct Ended {
    count: u64,
    cpus: CpuSet,
}

impl Ended {
    fn add(&mut self, breach: &Breach) {
        self.count += 1;
        // No host has CPUs that no set can hold.
        let _ = self.cpus.insert(breach.cpu);
    }
}

/// What the tally is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing<'a> {
    /// The totals.
    pub(super) summary: &'a Summary,
    /// The log, if it is a file.
    pub(super) log: Option<&'a str>,
    /// The command, if there was one.
    pub(super) command: Option<Command<'a>>,
    /// What was left out.
    pub(super) filters: Filters,
}

/// What was asked for, where that is not every entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filters {
    /// Entries of some tasks (`--pid`, `--comm`).
    pub(super) tasks: bool,
    /// Entries in an isolated section (`--from-prctl`).
    pub(super) section: bool,
}

impl Filters {
    /// What the entries are that it leaves out.
    const fn left_out(self) -> &'static str {
        match (self.tasks, self.section) {
            (_, false) => "of other tasks",
            (false, true) => "outside of isolated sections",
            (true, true) => "of other tasks or outside of isolated sections",
        }
    }

    /// What the entries are that it keeps.
    const fn kept(self) -> &'static str {
        match (self.tasks, self.section) {
            (false, false) => "",
            (true, false) => " of a task that was asked for",
            (false, true) => " in an isolated section",
            (true, true) => " in an isolated section of a task that was asked for",
        }
    }
}

impl Tally {
    /// With a command, how tasks end is kept as well.
    pub(super) fn new(with_ends: bool) -> Self {
        Self {
            ends: with_ends.then(Gatherer::default),
            ..Self::default()
        }
    }

    fn breach(&mut self, breach: &Breach) {
        self.breaches += 1;
        self.has_section |= breach.section == Some(true);
        if let Some(remedy) = &breach.remedy {
            if let Some(ended) = self.by_remedy.get_mut(remedy) {
                ended.add(breach);
            } else {
                let ended = self.by_remedy.entry(remedy.clone());
                ended.or_default().add(breach);
            }
        }
        // Until it executes the command, its process is a copy of ours.
        if breach
            .task
            .comm
            .as_deref()
            .is_some_and(|it| OURS.contains(&it))
        {
            return;
        }
        if let Some(worst) = &mut self.worst {
            take_name(worst, breach);
        }
        let is_worse = in_kernel(breach) > self.worst.as_deref().map_or(Some(Nanos(0)), in_kernel);
        if is_worse {
            self.worst = Some(Box::new(breach.clone()));
        }
    }

    /// The lines, where there is something to say; `in_full` also says what there was.
    pub(super) fn lines(self, closing: &Closing<'_>, in_full: bool) -> Vec<String> {
        let Closing {
            summary,
            log,
            command,
            filters,
        } = *closing;
        let mut lines = Vec::new();
        if in_full {
            lines.push(in_numbers(summary, filters));
            lines.extend(self.worst.as_deref().map(worst));
        }
        let remedy = self.by_remedy.iter().max_by_key(|(_, ended)| ended.count);
        if in_full && let Some((id, ended)) = remedy {
            lines.push(most(id, ended, self.breaches, &self.host));
        }
        if let Some(command) = command {
            lines.extend(self.undeclared(&command, summary));
        }
        let kill = self
            .ends
            .zip(command)
            .and_then(|(ends, command)| killed(ends, &command));
        let is_killed = kill.is_some();
        lines.extend(kill);
        let Some(log) = log else { return lines };
        match remedy {
            _ if is_killed => lines.push(format!("next: isol-trace explain {}", shell_word(log))),
            Some((id, _)) if in_full => lines.push(format!(
                "next: jq 'select(.remedy == \"{}\")' {}",
                id.as_str(),
                shell_word(log)
            )),
            _ if in_full && self.breaches > 0 => {
                lines.push("next: isol-trace doctor".to_owned());
            }
            _ => {}
        }
        lines
    }

    /// What to say of a command that was to be watched in its isolated section, and had none.
    fn undeclared(&self, command: &Command<'_>, summary: &Summary) -> Option<String> {
        let option = command.section_option?;
        if self.has_section {
            return None;
        }
        let lost = summary.cpus.iter().any(|cpu| cpu.lost > 0);
        let as_far = if lost {
            ", as far as the records go that were not lost"
        } else {
            ""
        };
        Some(format!(
            "{option} did nothing: {} never said on a watched CPU that it is isolated, by prctl(0x49534f4c, 1){as_far}",
            command.name
        ))
    }
}

impl Consumer for Tally {
    fn event(&mut self, event: &Event) {
        if let Some(ends) = &mut self.ends {
            ends.event(event);
        }
        match event {
            Event::Header(header) => self.host = Numbers::of_header(header),
            Event::Watched(set) => self.host = self.host.watching(&set.cpus, &set.housekeeping),
            Event::Breach(breach) => self.breach(breach),
            // Its breach's own record may be lost.
            Event::Kill(kill) => {
                self.has_section |= matches!(kill.by, KilledBy::StrictMode | KilledBy::Tracer);
            }
            _ => {}
        }
    }
}

/// How long a breach kept the task from its program, without idling.
fn in_kernel(breach: &Breach) -> Option<Nanos> {
    let duration = breach.duration?;
    Some(Nanos(duration.0.saturating_sub(breach.idle.0)))
}

/// `120 kernel entries on CPUs 1-2: 115 syscall, 4 local_timer, 1 unknown; 3 records lost`.
fn in_numbers(summary: &Summary, filters: Filters) -> String {
    let sum = |figure: fn(&CpuSummary) -> u64| summary.cpus.iter().map(figure).sum::<u64>();
    let cpus = cpus_in_words(summary.cpus.iter().map(|cpu| cpu.cpu));
    let filtered = sum(|cpu| cpu.filtered);
    let entries = sum(|cpu| cpu.entries).saturating_sub(filtered);
    let left_out = match filtered {
        0 => String::new(),
        filtered => format!("; {} {} left out", count(filtered), filters.left_out()),
    };
    if entries == 0 {
        let what = filters.kept();
        // Those that are left out came from the kernel, too.
        let so = match filtered {
            0 => ": what ran there stayed in user mode, or nothing ran",
            _ => "",
        };
        return format!("no kernel entry{what} on {cpus}{so}{left_out}");
    }
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for cause in summary.cpus.iter().flat_map(|cpu| &cpu.causes) {
        let word = match cause.cause {
            Cause::Unknown => "without a cause",
            cause => cause.word(),
        };
        *causes.entry(word).or_default() += cause.count;
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let more: u64 = causes.iter().skip(CAUSES).map(|(_, count)| count).sum();
    let mut words: Vec<_> = causes
        .iter()
        .take(CAUSES)
        .map(|(word, number)| format!("{} {word}", count(*number)))
        .collect();
    if more > 0 {
        words.push(format!("{} other", count(more)));
    }
    let lost = match sum(|cpu| cpu.lost) {
        0 => String::new(),
        lost => format!(
            "; {} lost: more than the ring holds came at once",
            counted(lost, "record", "records")
        ),
    };
    format!(
        "{} on {cpus}: {}{left_out}{lost}",
        counted(entries, "kernel entry", "kernel entries"),
        words.join(", ")
    )
}

/// Takes the name of the place where `worst` was from a later breach of the same place: its own may have come too late.
fn take_name(worst: &mut Breach, later: &Breach) {
    let is_same = worst.ip == later.ip && worst.task.pid == later.task.pid;
    if !is_same || has_name(worst) || !has_name(later) || worst.task.comm != later.task.comm {
        return;
    }
    worst.location.clone_from(&later.location);
    worst.source.clone_from(&later.source);
    worst.inlined.clone_from(&later.inlined);
}

const fn has_name(breach: &Breach) -> bool {
    breach.location.is_some() || breach.source.is_some()
}

fn worst(breach: &Breach) -> String {
    let time = in_kernel(breach).map_or_else(String::new, duration);
    let without_place;
    let breach = if has_name(breach) {
        breach
    } else {
        // A bare address tells a person nothing.
        without_place = Breach {
            ip: Address(0),
            ..breach.clone()
        };
        &without_place
    };
    format!(
        "worst: {time} on CPU {}, breach {}, {}: {}",
        breach.cpu,
        breach.seq,
        name(&breach.task),
        breach_in_words(breach)
    )
}

fn most(id: &RuleId, ended: &Ended, of: u64, host: &Numbers) -> String {
    let what = Rules::embedded()
        .ok()
        .and_then(|rules| rules.get(id))
        .map_or_else(String::new, |rule| {
            let of_host = rule.filled(host).text;
            let Some(first) = ended.cpus.first() else {
                return format!(": {of_host}");
            };
            let of_cpu = rule.filled(&host.on(first)).text;
            if ended.cpus.len() == 1 || of_cpu == of_host {
                return format!(": {of_cpu}");
            }
            let cpus = ended.cpus.to_string();
            if cpus.len() > CPU_LIST {
                return format!(": {of_host}");
            }
            format!(", where N is each of {cpus}: {of_host}")
        });
    format!(
        "{} of {} would be ended by {}{what}",
        count(ended.count),
        count(of),
        id.as_str()
    )
}

/// The line that says who killed the command.
fn killed(ends: Gatherer, command: &Command<'_>) -> Option<String> {
    if !command.was_killed {
        return None;
    }
    let told = ends.finish();
    let is_its = |pid: Option<Pid>| pid.is_some() && pid == command.pid;
    let mut reports = told.reports.iter().filter(|report| report.kill.fatal);
    // In a PID namespace numbers are others than those that the kernel shows.
    let report = reports
        .clone()
        .find(|report| is_its(report.kill.task.pid))
        .or_else(|| reports.next())?;
    rendered_report(report).lines().next().map(str::to_owned)
}

/// A name as a shell reads it.
fn shell_word(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,:@%".contains(letter);
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
