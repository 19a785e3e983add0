//! The record of a remedy.

use serde::{Deserialize, Serialize};

use crate::wire::value::Name;

/// What ends breaches of a rule, with the numbers of this host: behind the first breach of the log that it is the remedy
/// of, and again where its commands have other numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename = "remedy", bound(deserialize = "'de: 'a"))]
pub struct Remedy<'a> {
    /// The rule: what breaches have as `remedy`.
    #[cfg_attr(test, schemars(with = "String", pattern("^[a-z0-9]+(-[a-z0-9]+)*$")))]
    pub id: Name<'a>,
    /// What ends it, in words. A word in capitals stands for a number of a breach.
    pub text: Name<'a>,
    /// Commands of a shell, as root, that last until the next boot.
    pub run: Vec<Name<'a>>,
    /// Arguments for the kernel's command line.
    pub boot: Vec<Name<'a>>,
    /// What shows that it is over, in words.
    pub verify: Vec<Name<'a>>,
}
