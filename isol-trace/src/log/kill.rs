//! A signal that ended a task, as the log has it.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    breach::ReadCause,
    few::{Few, Last, MAX_FRAMES},
    field::{Hex, Text},
    origin::JsonTask,
};
use crate::event::{
    ids::{Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
    model::{Kill, KilledBy, Signaller, TaskId, Unlogged},
    signal::Signal,
};

/// Breaches that a kill names, and entries that it has itself: the last so many.
const MAX_HISTORY: usize = 64;

#[derive(Debug, Deserialize)]
struct JsonKill {
    mono_ns: u64,
    cpu: u32,
    task: JsonTask,
    #[serde(default)]
    of_command: bool,
    signal: u32,
    /// A kill, unless it says otherwise.
    #[serde(default = "is_fatal")]
    fatal: bool,
    by: Text,
    sender: Option<JsonSender>,
    code: Option<i32>,
    breach: Option<u64>,
    #[serde(default)]
    history: Last<u64, MAX_HISTORY>,
    entry: Option<JsonUnlogged>,
    #[serde(default)]
    unlogged: Last<JsonUnlogged, MAX_HISTORY>,
    #[serde(default)]
    user_stack: Few<Text, MAX_FRAMES>,
}

const fn is_fatal() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct JsonSender {
    cpu: u32,
    pid: Option<u32>,
    tid: u32,
    comm: Option<Text>,
}

impl From<JsonSender> for Signaller {
    fn from(raw: JsonSender) -> Self {
        Self {
            cpu: Cpu(raw.cpu),
            task: TaskId {
                pid: raw.pid.map(Pid),
                tid: Tid(raw.tid),
                comm: raw.comm.map(|Text(comm)| comm),
            },
        }
    }
}

#[derive(Debug, Deserialize)]
struct JsonUnlogged {
    mono_ns: u64,
    duration_ns: Option<u64>,
    cause: ReadCause,
    ip: Hex,
    at: Option<Text>,
    source: Option<Text>,
}

impl From<JsonUnlogged> for Unlogged {
    fn from(raw: JsonUnlogged) -> Self {
        let Hex(ip) = raw.ip;
        Self {
            at: MonoNanos(raw.mono_ns),
            duration: raw.duration_ns.map(Nanos),
            cause: raw.cause.detail,
            cause_name: raw.cause.name.map(|Text(name)| name),
            ip,
            location: raw.at.map(|Text(at)| at),
            source: raw.source.map(|Text(source)| source),
        }
    }
}

/// A kill.
#[derive(Debug)]
pub(super) struct ReadKill(pub(super) Kill);

impl<'de> Deserialize<'de> for ReadKill {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = JsonKill::deserialize(deserializer)?;
        kill(raw).map(Self).map_err(D::Error::custom)
    }
}

fn kill(raw: JsonKill) -> Result<Kill, String> {
    let Text(word) = raw.by;
    Ok(Kill {
        at: MonoNanos(raw.mono_ns),
        cpu: Cpu(raw.cpu),
        task: raw.task.into(),
        of_command: raw.of_command,
        signal: Signal::new(raw.signal)
            .ok_or_else(|| format!("{} is no number of a signal", raw.signal))?,
        fatal: raw.fatal,
        by: by(&word, raw.sender)?,
        code: raw.code,
        breach: raw.breach.map(Seq),
        history: raw.history.into_iter().map(Seq).collect(),
        entry: raw.entry.map(Into::into),
        unlogged: raw.unlogged.into_iter().map(Into::into).collect(),
        user_stack: raw
            .user_stack
            .into_iter()
            .map(|Text(frame)| frame)
            .collect(),
    })
}

fn by(word: &str, sender: Option<JsonSender>) -> Result<KilledBy, String> {
    Ok(match word {
        "strict-mode" => KilledBy::StrictMode,
        "tracer" => KilledBy::Tracer,
        "task" => KilledBy::Task,
        "remote" => KilledBy::Remote(
            sender
                .ok_or("a signal of another process has no 'sender'")?
                .into(),
        ),
        "kernel" => KilledBy::Kernel,
        "unknown" => KilledBy::Unknown,
        other => {
            return Err(format!(
                "'{other}' raises no signal that this version of isol-trace knows"
            ));
        }
    })
}
