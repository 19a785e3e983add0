//! Who provoked a breach, as the log has it.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    few::{Few, MAX_FRAMES},
    field::{Place, Text},
};
use crate::event::{
    ids::{Cpu, MonoNanos, Pid, Tid},
    model::{Cause, Origin, Sender, TaskId, Via},
};

/// A thread.
#[derive(Debug, Deserialize)]
pub(super) struct JsonTask {
    pid: Option<u32>,
    tid: u32,
    comm: Option<Text>,
}

impl From<JsonTask> for TaskId {
    fn from(raw: JsonTask) -> Self {
        Self {
            pid: raw.pid.map(Pid),
            tid: Tid(raw.tid),
            comm: raw.comm.map(|Text(comm)| comm),
        }
    }
}

#[derive(Debug, Deserialize)]
struct JsonOrigin {
    kind: Text,
    cpu: Option<u32>,
    pid: Option<u32>,
    tid: Option<u32>,
    comm: Option<Text>,
    via: Option<Text>,
    mono_ns: Option<u64>,
    callback: Option<Place>,
    callsite: Option<Place>,
    #[serde(default)]
    stack: Few<Place, MAX_FRAMES>,
    #[serde(default)]
    user_stack: Few<Text, MAX_FRAMES>,
    #[serde(default)]
    inferred: bool,
}

/// One origin.
#[derive(Debug)]
pub(super) struct ReadOrigin(pub(super) Origin);

impl<'de> Deserialize<'de> for ReadOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = JsonOrigin::deserialize(deserializer)?;
        origin(raw).map(Self).map_err(D::Error::custom)
    }
}

fn origin(raw: JsonOrigin) -> Result<Origin, String> {
    let Text(kind) = raw.kind.clone();
    Ok(match &*kind {
        "task" => Origin::Task,
        "device" => Origin::Device,
        "unknown" => Origin::Unknown,
        "kernel" if raw.via.is_none() => Origin::Kernel(None),
        "kernel" => Origin::Kernel(Some(Box::new(sender(raw)?))),
        "remote" => Origin::Remote(Box::new(sender(raw)?)),
        "tracer" => Origin::Tracer(Box::new(sender(raw)?)),
        other => {
            return Err(format!(
                "'{other}' is not an origin that this version of isol-trace knows"
            ));
        }
    })
}

fn sender(raw: JsonOrigin) -> Result<Sender, String> {
    let missing = || "an origin of another CPU has no 'via'".to_owned();
    let Text(word) = raw.via.ok_or_else(missing)?;
    Ok(Sender {
        via: via(&word).ok_or_else(|| format!("'{word}' is no way to reach a CPU"))?,
        at: raw.mono_ns.map(MonoNanos),
        cpu: raw.cpu.map(Cpu),
        task: raw.tid.map(|tid| TaskId {
            pid: raw.pid.map(Pid),
            tid: Tid(tid),
            comm: raw.comm.map(|Text(comm)| comm),
        }),
        // The log has one word for both.
        callback: raw.callback.map(|Place(place)| place),
        callsite: raw.callsite.map(|Place(place)| place),
        stack: raw.stack.into_iter().map(|Place(place)| place).collect(),
        user_stack: raw
            .user_stack
            .into_iter()
            .map(|Text(frame)| frame)
            .collect(),
        inferred: raw.inferred,
    })
}

/// A cross-call is spelled as the interrupt that it arrived by.
fn via(word: &str) -> Option<Via> {
    Via::from_word(word).or_else(|| Cause::from_word(word).map(|_| Via::CrossCall))
}
