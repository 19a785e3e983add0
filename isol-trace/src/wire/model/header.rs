//! The record with which a log begins.

use serde::{Deserialize, Serialize};

use crate::{
    event::{
        ids::{Cpu, MonoNanos},
        probe::Detection,
    },
    wire::{
        value::{Name, Text, Time},
        word::{ProbeStateKind, Word},
    },
};

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "header", bound(deserialize = "'de: 'a"))]
pub struct Header<'a> {
    /// The name of the log's format.
    #[cfg_attr(test, schemars(extend("const" = crate::wire::SCHEMA_NAME)))]
    pub schema: Text<'a>,
    /// Of isol-trace.
    pub version: Text<'a>,
    /// The host's name.
    pub host: Text<'a>,
    /// uname -r
    pub kernel: Text<'a>,
    /// uname -m
    pub arch: Text<'a>,
    /// The watched CPUs.
    pub cpus: Vec<WatchedCpu>,
    /// The other online CPUs.
    pub housekeeping: Vec<Cpu>,
    /// Every probe, and what became of it.
    pub probes: Vec<Probe<'a>>,
    /// When the tracer was armed.
    pub time: Time<'a>,
    /// The same moment on the monotonic clock.
    pub mono_ns: MonoNanos,
    /// What the detection in force cannot see.
    #[serde(default)]
    pub blind_spots: Vec<Text<'a>>,
    /// Whether the kernel is built with `CONFIG_NO_HZ_FULL`; absent in logs of a version that did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_hz_full: Option<bool>,
}

/// A watched CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "watched_cpu")]
pub struct WatchedCpu {
    /// The CPU.
    pub cpu: Cpu,
    /// How its entries are found.
    pub detection: Word<Detection>,
}

/// A probe and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(transform = crate::wire::schema::needs_a_reason)
)]
#[serde(rename = "probe", bound(deserialize = "'de: 'a"))]
pub struct Probe<'a> {
    /// Its hook in the kernel.
    pub name: Name<'a>,
    /// What became of it.
    pub state: Word<ProbeStateKind>,
    /// Why it is absent, or why attaching failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Text<'a>>,
}
