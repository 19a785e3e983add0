//! The records of a task that is back, and of records that are lost.

use serde::{Deserialize, Serialize};

use crate::{
    event::ids::{Cpu, MonoNanos, Nanos, Seq, Tid},
    wire::value::Count,
};

/// The task of an entry that ended as switched is in user mode again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "back")]
pub struct Back {
    /// The breach's seq; absent where that record was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breach: Option<Seq>,
    /// Until now: from that record's end or, where the task slept, from its wake-up.
    pub away_ns: Nanos,
    /// Now.
    pub mono_ns: MonoNanos,
    /// The thread.
    pub tid: Tid,
}

/// Records that did not fit the ring since the CPU's last such line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "lost")]
pub struct Lost {
    /// The CPU.
    pub cpu: Cpu,
    /// How many.
    #[cfg_attr(test, schemars(extend("minimum" = 1)))]
    pub records: Count,
    /// When that was noticed.
    pub mono_ns: MonoNanos,
}
