//! What the kernel did before it returned, as records have it.

use isol_trace_common::activity;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::{
    event::ids::{Address, Nanos, Pid, Tid},
    wire::{
        value::{Number, Text},
        word::Word,
    },
};

/// Something that the kernel did before it returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(transform = crate::wire::schema::asks(&[
        ("irq", &["irq"]),
        ("switch", &["tid"]),
        ("signal", &["signal"]),
    ]))
)]
#[serde(rename = "activity", bound(deserialize = "'de: 'a"))]
pub struct Activity<'a> {
    /// What kind of work.
    pub kind: Word<activity::Activity>,
    /// Function, handler, thread, signal or reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    /// Its time, without what nested in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_ns: Option<Nanos>,
    /// irq: the Linux interrupt number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irq: Option<Number>,
    /// switch: the thread that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<Tid>,
    /// switch: that thread's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Text<'a>>,
    /// switch: that thread's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// switch: a worker of `io_uring` or another of the kernel's in that process. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<bool>,
    /// switch: the process that made that process, or has taken that one's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent<'a>>,
    /// signal: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Number>,
    /// fault: the address that faulted. Otherwise the function, where it has no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Who asked for it, where that was seen and is none of the breach's own origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin<'a>>>,
}

/// A process that made another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "parent", bound(deserialize = "'de: 'a"))]
pub struct Parent<'a> {
    /// The process.
    pub pid: Pid,
    /// Its name.
    pub comm: Text<'a>,
}
