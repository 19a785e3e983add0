//! A thread, as records name it.

use serde::{Deserialize, Serialize};

use crate::{
    event::ids::{Pid, Tid},
    wire::value::Text,
};

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "task", bound(deserialize = "'de: 'a"))]
pub struct Task<'a> {
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<Pid>,
    /// The thread.
    pub tid: Tid,
    /// Its name at the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Text<'a>>,
}
