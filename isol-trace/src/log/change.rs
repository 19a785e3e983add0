//! What happened to the watched set and its tasks, as the log has it.

use serde::Deserialize;

use super::{
    field::ChangeWord,
    header::{JsonCpu, ReadProbe},
    origin::JsonTask,
};
use crate::event::{
    ids::{Cpu, MonoNanos},
    model::{Event, WatchedSet},
};

#[derive(Debug, Deserialize)]
struct JsonChange {
    cpu: u32,
    change: ChangeWord,
}

/// The watched set has changed.
#[derive(Debug, Deserialize)]
pub(super) struct JsonWatched {
    mono_ns: u64,
    changes: Vec<JsonChange>,
    cpus: Vec<JsonCpu>,
    housekeeping: Vec<u32>,
    #[serde(default)]
    probes: Vec<ReadProbe>,
    #[serde(default)]
    blind_spots: Vec<String>,
}

impl From<JsonWatched> for Event {
    fn from(raw: JsonWatched) -> Self {
        let changes = raw.changes.into_iter();
        Self::Watched(WatchedSet {
            at: MonoNanos(raw.mono_ns),
            changes: changes.map(|one| (Cpu(one.cpu), one.change.0)).collect(),
            cpus: raw.cpus.into_iter().map(JsonCpu::pair).collect(),
            blind_spots: raw.blind_spots.into_iter().map(Into::into).collect(),
            housekeeping: raw.housekeeping.into_iter().map(Cpu).collect(),
            probes: raw.probes.into_iter().map(|probe| probe.0).collect(),
        })
    }
}

/// A task went to another CPU.
#[derive(Debug, Deserialize)]
pub(super) struct JsonMoved {
    mono_ns: u64,
    task: JsonTask,
    from: u32,
    to: u32,
}

impl From<JsonMoved> for Event {
    fn from(raw: JsonMoved) -> Self {
        Self::Moved {
            task: raw.task.into(),
            from: Cpu(raw.from),
            to: Cpu(raw.to),
            at: MonoNanos(raw.mono_ns),
        }
    }
}
