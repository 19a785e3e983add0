//! Reads the tracer's log: JSON Lines, as the contract has them.
//!
//! This reader is on purpose not the tracer's own: what the tracer writes is
//! checked against the contract, not against the code that wrote it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Task {
    /// Its process.
    pub pid: Option<u32>,
    /// The thread.
    pub tid: u32,
    /// Its name.
    pub comm: Option<String>,
}

/// Why the kernel was entered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Cause {
    /// A word of the contract.
    pub kind: String,
    /// System call, exception, handler.
    pub name: Option<String>,
    /// System-call number.
    pub nr: Option<i64>,
    /// Its arguments, hexadecimal.
    pub args: Vec<String>,
    /// Address that faulted.
    pub address: Option<String>,
    /// Fault by a write.
    pub write: Option<bool>,
    /// Fault in user mode.
    pub user: Option<bool>,
    /// Interrupt number.
    pub irq: Option<u64>,
    /// The handler's own time.
    pub net_ns: Option<i64>,
}

/// What the kernel then did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Activity {
    /// A word of the contract.
    pub kind: String,
    /// Function, handler or word.
    pub name: Option<String>,
    /// Its time without what nested in it.
    pub net_ns: Option<i64>,
    /// Who asked for it.
    pub origin: Option<Origin>,
    /// Whatever else the tracer says of it.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// Who triggered it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(default)]
pub struct Origin {
    /// A word of the contract.
    pub kind: String,
    /// The sender's CPU.
    pub cpu: Option<u32>,
    /// The sender's process.
    pub pid: Option<u32>,
    /// The sender's thread.
    pub tid: Option<u32>,
    /// Its name.
    pub comm: Option<String>,
    /// How it reached the CPU.
    pub via: Option<String>,
    /// What it asked for.
    pub callback: Option<String>,
    /// How it got there, innermost first.
    pub stack: Vec<String>,
    /// How its program got there.
    pub user_stack: Vec<String>,
    /// Matched by order.
    pub inferred: Option<bool>,
}

/// A breach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Breach {
    /// The rule that says what would end it.
    pub remedy: Option<String>,
    /// Its number.
    pub seq: u64,
    /// When.
    pub mono_ns: u64,
    /// Where.
    pub cpu: u32,
    /// How long; absent where not seen.
    pub duration_ns: Option<i64>,
    /// How long the CPU idled in it.
    pub idle_ns: Option<i64>,
    /// How it ended.
    pub end: String,
    /// Inside an isolated section.
    pub section: Option<bool>,
    /// Who.
    pub task: Task,
    /// Why.
    pub cause: Cause,
    /// The user instruction pointer.
    pub ip: Option<String>,
    /// What the kernel then did.
    pub activity: Vec<Activity>,
    /// How many more the list had no room for.
    pub activity_dropped: u64,
    /// Who triggered it.
    pub origins: Vec<Origin>,
}

impl Breach {
    /// Whether the tracer is one of its origins.
    #[must_use]
    pub fn is_by_the_tracer(&self) -> bool {
        self.origins.iter().any(|origin| origin.kind == "tracer")
    }
}

/// A victim that is back in user mode.
#[derive(Clone, Debug, Deserialize)]
pub struct Back {
    /// Its breach; absent where that record was lost.
    pub breach: Option<u64>,
    /// How long it was away.
    pub away_ns: i64,
}

/// A CPU in the header.
#[derive(Clone, Debug, Deserialize)]
pub struct WatchedCpu {
    /// Its number.
    pub cpu: u32,
    /// How its entries are found.
    pub detection: String,
}

/// A probe in the header.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// `attached`, `absent` or `failed`.
    pub state: String,
    /// Why not attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The first line.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub schema: String,
    /// Watched CPUs.
    pub cpus: Vec<WatchedCpu>,
    /// Housekeeping CPUs.
    pub housekeeping: Vec<u32>,
    /// Every probe's verdict.
    pub probes: Vec<Probe>,
    /// When the tracer was armed.
    pub mono_ns: u64,
}

/// What happened to a CPU of the watched set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// The CPU.
    pub cpu: u32,
    /// `isolated`, `released`, `online` or `offline`.
    pub change: String,
}

/// A changed watched set.
#[derive(Clone, Debug, Deserialize)]
pub struct Watched {
    /// Since when.
    pub mono_ns: u64,
    /// What happened.
    pub changes: Vec<Change>,
    /// Watched CPUs that run.
    pub cpus: Vec<WatchedCpu>,
    /// All others that run.
    pub housekeeping: Vec<u32>,
}

/// A task that went to another CPU.
#[derive(Clone, Debug, Deserialize)]
pub struct Moved {
    /// When.
    pub mono_ns: u64,
    /// Who.
    pub task: Task,
    /// From which CPU.
    pub from: u32,
    /// To which.
    pub to: u32,
}

/// Who sent a signal.
#[derive(Clone, Debug, Deserialize)]
pub struct Signaller {
    /// Its process.
    pub pid: Option<u32>,
}

/// An entry that found no room in the log.
#[derive(Clone, Debug, Deserialize)]
pub struct Unlogged {
    /// When it began.
    pub mono_ns: u64,
    /// Why.
    pub cause: Cause,
}

/// A signal that ended a task, or that strict mode raised.
#[derive(Clone, Debug, Deserialize)]
pub struct Kill {
    /// When it was delivered.
    pub mono_ns: u64,
    /// Where.
    pub cpu: u32,
    /// To whom.
    pub task: Task,
    /// Which.
    pub signal: u32,
    /// Its action is to end the process.
    pub fatal: bool,
    /// Who raised it.
    pub by: String,
    /// The sender, where that is another process.
    pub sender: Option<Signaller>,
    /// The breach that led to it.
    pub breach: Option<u64>,
    /// The breaches of the task up to that one.
    pub history: Vec<u64>,
    /// The entry that led to it, as the signal tells of it.
    pub entry: Option<Box<Unlogged>>,
    /// Entries that found no room in the log.
    #[serde(default)]
    pub unlogged: Vec<Unlogged>,
    /// Where the task was.
    pub user_stack: Vec<String>,
}

/// Totals of a cause.
#[derive(Clone, Debug, Deserialize)]
pub struct CauseTotals {
    /// How many.
    pub count: u64,
}

/// Totals of a CPU.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CpuTotals {
    /// The CPU.
    pub cpu: u32,
    /// Kernel entries.
    pub entries: u64,
    /// With a cause.
    pub attributed: u64,
    /// Without.
    pub unattributed: u64,
    /// Left out by a filter.
    pub filtered: u64,
    /// Did not fit the ring.
    pub lost: u64,
    /// Under way at the end.
    pub open: u64,
    /// By cause.
    #[serde(default)]
    pub causes: BTreeMap<String, CauseTotals>,
}

/// What the tracer itself cost.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TracerTotals {
    /// Breaches that it caused while armed.
    pub breaches: u64,
    /// While attaching.
    pub attach_breaches: Option<u64>,
    /// While detaching.
    pub detach_breaches: Option<u64>,
    /// Runs that the kernel skipped.
    #[serde(default)]
    pub missed_runs: BTreeMap<String, u64>,
    /// Senders whose records found no room.
    #[serde(default)]
    pub lost_senders: u64,
}

/// The last line.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Summary {
    /// When the tracer was disarmed.
    pub mono_ns: u64,
    /// Totals per CPU.
    pub cpus: Vec<CpuTotals>,
    /// The tracer's own mark.
    pub tracer: TracerTotals,
}

impl Summary {
    /// Totals of a CPU.
    #[must_use]
    pub fn cpu(&self, cpu: u32) -> Option<&CpuTotals> {
        self.cpus.iter().find(|totals| totals.cpu == cpu)
    }
}

/// One line.
#[derive(Clone, Debug)]
pub enum Line {
    /// The first.
    Header(Header),
    /// A breach.
    Breach(Box<Breach>),
    /// A victim that is back.
    Back(Back),
    /// Records that were lost: CPU and number.
    Lost(u32, u64),
    /// The watched set has changed.
    Watched(Watched),
    /// A task went to another CPU.
    Moved(Moved),
    /// A signal ended a task.
    Kill(Kill),
    /// The last.
    Summary(Summary),
    /// A type that this reader does not know.
    Other(String),
}

impl Line {
    /// Reads one line.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Type<'a> {
            #[serde(rename = "type", borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Lost {
            cpu: u32,
            records: u64,
        }
        let kind: Type<'_> = serde_json::from_str(text).context("no object with a type")?;
        Ok(match &*kind.kind {
            "header" => Self::Header(serde_json::from_str(text)?),
            "breach" => {
                // Every other field has a default, so that a test can write short records.
                let breach: Breach = serde_json::from_str(text)?;
                if breach.seq == 0 || breach.mono_ns == 0 || breach.cause.kind.is_empty() {
                    bail!("a breach without seq, mono_ns or cause");
                }
                Self::Breach(Box::new(breach))
            }
            "back" => Self::Back(serde_json::from_str(text)?),
            "lost" => {
                let lost: Lost = serde_json::from_str(text)?;
                Self::Lost(lost.cpu, lost.records)
            }
            "watched" => Self::Watched(serde_json::from_str(text)?),
            "moved" => Self::Moved(serde_json::from_str(text)?),
            "kill" => Self::Kill(serde_json::from_str(text)?),
            "summary" => Self::Summary(serde_json::from_str(text)?),
            other => Self::Other(other.to_owned()),
        })
    }
}

/// Hands every line of a log to `take`, with its number from 1.
pub fn for_each(path: &Path, mut take: impl FnMut(u64, &str) -> Result<()>) -> Result<()> {
    let file = File::open(path).with_context(|| format!("the log {}", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut text = String::new();
    let mut number = 0;
    while reader.read_line(&mut text)? > 0 {
        number += 1;
        take(number, text.trim_end_matches('\n'))?;
        text.clear();
    }
    Ok(())
}

/// A log that is being written.
#[derive(Debug)]
pub struct Growing {
    file: BufReader<File>,
    /// What there is of the line that is read next.
    line: String,
}

impl Growing {
    /// Reads a log from its beginning.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("the log {}", path.display()))?;
        Ok(Self {
            file: BufReader::new(file),
            line: String::new(),
        })
    }

    /// Hands over the breaches that have come since the last time.
    pub fn breaches(&mut self, mut take: impl FnMut(&Breach)) -> Result<()> {
        self.lines(|line| {
            if let Line::Breach(breach) = Line::parse(line)? {
                take(&breach);
            }
            Ok(())
        })
    }

    /// Hands over the lines that have come since the last time.
    pub fn lines(&mut self, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
        while self.file.read_line(&mut self.line)? > 0 && self.line.ends_with('\n') {
            take(&self.line)?;
            self.line.clear();
        }
        Ok(())
    }
}

/// A whole log in memory.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The first line.
    pub header: Option<Header>,
    /// Breaches, in the order of the log.
    pub breaches: Vec<Breach>,
    /// Returns of victims.
    pub backs: Vec<Back>,
    /// Changes of the watched set.
    pub changes: Vec<Watched>,
    /// Tasks that went to another CPU.
    pub moves: Vec<Moved>,
    /// Signals that ended a task.
    pub kills: Vec<Kill>,
    /// The last line.
    pub summary: Option<Summary>,
}

impl Log {
    /// Reads a log.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_without(path, |_| false)
    }

    /// Reads a log but for the breaches that `leave_out` names: a storm's do not fit a small machine.
    pub fn read_without(path: &Path, mut leave_out: impl FnMut(&Breach) -> bool) -> Result<Self> {
        let mut log = Self::default();
        for_each(path, |number, text| {
            match Line::parse(text).with_context(|| format!("line {number}: {text}"))? {
                Line::Header(header) => log.header = Some(header),
                Line::Breach(breach) if leave_out(&breach) => {}
                Line::Breach(breach) => log.breaches.push(*breach),
                Line::Back(back) => log.backs.push(back),
                Line::Watched(change) => log.changes.push(change),
                Line::Moved(moved) => log.moves.push(moved),
                Line::Kill(kill) => log.kills.push(kill),
                Line::Summary(summary) => log.summary = Some(summary),
                Line::Lost(..) | Line::Other(_) => {}
            }
            Ok(())
        })?;
        Ok(log)
    }

    /// The header, which every log has.
    pub fn header(&self) -> Result<&Header> {
        self.header.as_ref().context("the log has no header")
    }

    /// The summary, which every whole log has.
    pub fn summary(&self) -> Result<&Summary> {
        self.summary.as_ref().context("the log has no summary")
    }

    /// Totals of one CPU.
    pub fn totals(&self, cpu: u32) -> Result<&CpuTotals> {
        self.summary()?
            .cpu(cpu)
            .with_context(|| format!("the summary does not speak of CPU {cpu}"))
    }

    /// Breaches of a CPU between two points in time.
    #[must_use]
    pub fn window(&self, cpu: u32, begin: u64, end: u64) -> Vec<&Breach> {
        self.breaches
            .iter()
            .filter(|breach| breach.cpu == cpu && (begin..=end).contains(&breach.mono_ns))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_contract_are_read() {
        let breach = r#"{"type":"breach","seq":1,"time":"…","mono_ns":5,"cpu":1,"duration_ns":2104,"end":"return",
 "task":{"pid":147,"tid":147,"comm":"spin"},"cause":{"kind":"syscall","nr":39,"name":"getpid"},"ip":"0x4016de",
 "activity":[{"kind":"timer","name":"clocksource_watchdog","net_ns":812}],"origins":[{"kind":"task"}],"later":1}"#;
        let Line::Breach(breach) = Line::parse(breach).unwrap() else {
            panic!("a breach");
        };
        assert_eq!(breach.cause.nr, Some(39));
        assert_eq!(
            breach.activity[0].name.as_deref(),
            Some("clocksource_watchdog")
        );
        assert!(matches!(
            Line::parse(r#"{"type":"lost","cpu":1,"records":12,"mono_ns":0}"#).unwrap(),
            Line::Lost(1, 12)
        ));
        assert!(matches!(
            Line::parse(r#"{"type":"from-the-future"}"#).unwrap(),
            Line::Other(_)
        ));
        Line::parse(r#"{"type":"breach","seq":1}"#).unwrap_err();
        Line::parse("not json").unwrap_err();
    }
}
