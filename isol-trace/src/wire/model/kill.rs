//! The record of a signal that ended a task, or that strict mode raised.

use serde::{Deserialize, Serialize};

use super::{cause::Cause, task::Task};
use crate::{
    event::ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
    wire::{
        list::{Few, Last, MAX_FRAMES},
        value::{Name, Number, Text, Time},
        word::{Raiser, Word},
    },
};

/// Breaches that a kill names, and entries that it has itself: the last so many are read.
const MAX_HISTORY: usize = 64;

/// A signal that ended a task, or that strict mode raised for a breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "kill", bound(deserialize = "'de: 'a"))]
pub struct Kill<'a> {
    /// When it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time<'a>>,
    /// The same moment on the monotonic clock.
    pub mono_ns: MonoNanos,
    /// Where it was delivered.
    pub cpu: Cpu,
    /// To whom.
    pub task: Task<'a>,
    /// true: its process was seen to be CMD, or to have been started by CMD or by what CMD has started; absent where that
    /// was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_command: Option<bool>,
    /// Its number.
    #[cfg_attr(test, schemars(extend("minimum" = 1, "maximum" = 64)))]
    pub signal: Number,
    /// The signal's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name<'a>>,
    /// Its action is to end the process, rather than to call a handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fatal: Option<bool>,
    /// Who raised it.
    pub by: Word<Raiser>,
    /// remote: the process that sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender<'a>>,
    /// `si_code` of the signal; absent where the sender was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = i32::MIN, max = i32::MAX)))]
    pub code: Option<i32>,
    /// The seq of the breach that led to it, or in which it arrived; absent where that record was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breach: Option<Seq>,
    /// The seq of the last breaches of the task on that CPU, its own included.
    #[serde(default)]
    pub history: Last<Seq, MAX_HISTORY>,
    /// What the kernel knew of the entry that led to the signal, or in which it was delivered. It has a record of its own
    /// (`breach`), which may be lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Unlogged<'a>>,
    /// Entries of the task whose records found no room, from the kernel's memory, in order.
    #[serde(default, skip_serializing_if = "Last::is_empty")]
    pub unlogged: Last<Unlogged<'a>, MAX_HISTORY>,
    /// Where the task was in user mode, innermost first: `function+offset (file:line)`.
    #[serde(default)]
    pub user_stack: Few<Text<'a>, MAX_FRAMES>,
}

/// A process that sent a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "sender", bound(deserialize = "'de: 'a"))]
pub struct Sender<'a> {
    /// Its CPU.
    pub cpu: Cpu,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// The thread that sent it.
    pub tid: Tid,
    /// That thread's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Text<'a>>,
}

/// An entry that is known without its record: from the kernel's memory, or from the signal that it led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "unlogged", bound(deserialize = "'de: 'a"))]
pub struct Unlogged<'a> {
    /// When the task left user mode.
    pub mono_ns: MonoNanos,
    /// Until the end, of `entry` until the signal; absent where that was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<Nanos>,
    /// Why the kernel was entered.
    pub cause: Cause<'a>,
    /// Where the task was in user mode.
    pub ip: Address,
    /// Function and offset there; of `entry` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Text<'a>>,
    /// Source file and line there; of `entry` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Text<'a>>,
}
