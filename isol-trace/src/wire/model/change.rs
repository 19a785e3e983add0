//! Records of what happens to the watched set and to its tasks.

use serde::{Deserialize, Serialize};

use super::{
    header::{Probe, WatchedCpu},
    task::Task,
};
use crate::{
    event::{
        header::CpuChange,
        ids::{Cpu, MonoNanos},
    },
    wire::{
        value::{Text, Time},
        word::Word,
    },
};

/// The watched set has changed with the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(transform = crate::wire::schema::always(&["time", "probes", "blind_spots"]))
)]
#[serde(tag = "type", rename = "watched", bound(deserialize = "'de: 'a"))]
pub struct Watched<'a> {
    /// Since when the programs know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time<'a>>,
    /// The same moment on the monotonic clock.
    pub mono_ns: MonoNanos,
    /// What happened to which CPU.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub changes: Vec<Change>,
    /// The watched CPUs that run, from now on.
    pub cpus: Vec<WatchedCpu>,
    /// The other CPUs that run, from now on.
    pub housekeeping: Vec<Cpu>,
    /// Probes that this change needed first, and what became of them.
    #[serde(default)]
    pub probes: Vec<Probe<'a>>,
    /// What the detection in force cannot see.
    #[serde(default)]
    pub blind_spots: Vec<Text<'a>>,
}

/// What happened to a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "change")]
pub struct Change {
    /// The CPU.
    pub cpu: Cpu,
    /// What happened to it.
    pub change: Word<CpuChange>,
}

/// A task goes to another CPU, from a watched one or to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(transform = crate::wire::schema::always(&["time"]))
)]
#[serde(tag = "type", rename = "moved", bound(deserialize = "'de: 'a"))]
pub struct Moved<'a> {
    /// Before the move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time<'a>>,
    /// The same moment on the monotonic clock.
    pub mono_ns: MonoNanos,
    /// Who goes.
    pub task: Task<'a>,
    /// The CPU that it leaves.
    pub from: Cpu,
    /// The CPU that it goes to.
    pub to: Cpu,
}
