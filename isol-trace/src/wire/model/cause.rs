//! Why the kernel was entered, as records have it.

use isol_trace_common::cause;
use serde::{Deserialize, Serialize};

use crate::{
    event::ids::{Address, Nanos},
    wire::{
        value::{Name, Number},
        word::Word,
    },
};

/// Why the kernel was entered: exactly one a breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(transform = crate::wire::schema::asks(&[
        ("page_fault", &["address", "write", "user"]),
        ("device_irq", &["irq"]),
    ]))
)]
#[serde(rename = "cause", bound(deserialize = "'de: 'a"))]
pub struct Cause<'a> {
    /// Which.
    pub kind: Word<cause::Cause>,
    /// syscall: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nr: Option<Number>,
    /// `page_fault`: the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// `page_fault`: a write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<bool>,
    /// `page_fault`: taken in user mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<bool>,
    /// `page_fault`: an instruction fetch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<bool>,
    /// `page_fault`: the page was there and its rights forbade the access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<bool>,
    /// `device_irq`: the Linux interrupt number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irq: Option<Number>,
    /// syscall, exception: its name. `device_irq`: its actions. nmi: its handler. Other kinds: the kernel's own text, where
    /// it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name<'a>>,
    /// syscall: its six argument registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<[Address; 6]>,
    /// By the 32-bit gate (int 0x80): nr and name are of that table, and args are absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compat: Option<bool>,
    /// exception: the processor's trap number (x86).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trap: Option<Number>,
    /// `device_irq`, nmi: the handler's function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<Name<'a>>,
    /// Time of the cause's own handler, without what nested in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_ns: Option<Nanos>,
}
