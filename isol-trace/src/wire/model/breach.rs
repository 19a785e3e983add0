//! The record of a breach.

use isol_trace_common::record::End;
use serde::{Deserialize, Serialize};

use super::{activity::Activity, cause::Cause, origin::Origin, task::Task};
use crate::{
    event::ids::{Address, Cpu, MonoNanos, Nanos, Seq},
    wire::{
        list::{Few, MAX_FRAMES},
        value::{Name, Text, Time},
        word::Word,
    },
};

/// Activities, and origins, of a breach that are read.
const MAX_ITEMS: usize = 256;

/// One kernel entry of a watched task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(transform = crate::wire::schema::always(&["time", "activity"]))
)]
#[serde(tag = "type", rename = "breach", bound(deserialize = "'de: 'a"))]
pub struct Breach<'a> {
    /// Its number in the log.
    pub seq: Seq,
    /// When the task left user mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time<'a>>,
    /// The same moment on the monotonic clock.
    pub mono_ns: MonoNanos,
    /// The watched CPU.
    pub cpu: Cpu,
    /// Until the end; absent where the end was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<Nanos>,
    /// How much of that the CPU idled: no noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ns: Option<Nanos>,
    /// How it ended.
    pub end: Word<End>,
    /// Inside the task's isolated section; absent where sections are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<bool>,
    /// Whose it is.
    pub task: Task<'a>,
    /// Why the kernel was entered.
    pub cause: Cause<'a>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// The same as function+offset or file+offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Name<'a>>,
    /// The same as `file:line`, in the function that `at` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Name<'a>>,
    /// Functions that were inlined there, innermost first: `function (file:line)`.
    #[serde(default, skip_serializing_if = "Few::is_empty")]
    pub inlined: Few<Text<'a>, MAX_FRAMES>,
    /// What the kernel then did, in the order in which it began.
    #[serde(default)]
    pub activity: Few<Activity<'a>, MAX_ITEMS>,
    /// Activities that the record had no room for; 255 means that many or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_dropped: Option<u8>,
    /// Who provoked it, in the order in which they did.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub origins: Few<Origin<'a>, MAX_ITEMS>,
    /// What would end it: the name of a rule of docs/remedies.md. Absent where no rule knows the breach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Name<'a>>,
}
