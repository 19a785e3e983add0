//! Who provoked a breach, as records have it.

use serde::{Deserialize, Serialize};

use crate::{
    event::ids::{Cpu, MonoNanos, Pid, Tid},
    wire::{
        list::{Few, MAX_FRAMES},
        value::{Place, Text},
        word::{OriginKind, Word},
    },
};

/// Who provoked the breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "origin", bound(deserialize = "'de: 'a"))]
pub struct Origin<'a> {
    /// Who in general.
    pub kind: Word<OriginKind>,
    /// The sender's CPU. Absent with `perf_event`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// The sender's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// The sender's thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<Tid>,
    /// The sender's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Text<'a>>,
    /// How it reached this CPU: the interrupt's cause, or timer, hrtimer, work, wake, fork, move, cancel, `cross_call` or
    /// `perf_event`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Text<'a>>,
    /// When the sender asked. Absent with `perf_event`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mono_ns: Option<MonoNanos>,
    /// The function that it asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Place<'a>>,
    /// Where it asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callsite: Option<Place<'a>>,
    /// How it got there, innermost first.
    #[serde(default, skip_serializing_if = "Few::is_empty")]
    pub stack: Few<Place<'a>, MAX_FRAMES>,
    /// How its task got into the kernel (--user-stacks), innermost first: `function+offset (file:line)`; functions that were
    /// inlined end in `[inlined]`.
    #[serde(default, skip_serializing_if = "Few::is_empty")]
    pub user_stack: Few<Text<'a>, MAX_FRAMES>,
    /// Matched by target and order rather than by a shared pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inferred: Option<bool>,
}
