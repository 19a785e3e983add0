//! The records of a log, one file each: what a line holds, member by member, in the order in which it is written.
//!
//! These types are the one description: they are written, read, and made into the JSON Schema, whose descriptions are
//! the comments here. They borrow their text from the event or from the line. What is not known is `None` and
//! left out; 0 is written and means zero.

mod activity;
mod breach;
mod cause;
mod change;
mod gap;
mod header;
mod kill;
mod origin;
mod remedy;
mod summary;
mod task;

use serde::Serialize;

pub use activity::{Activity, Parent};
pub use breach::Breach;
pub use cause::Cause;
pub use change::{Change, Moved, Watched};
pub use gap::{Back, Lost};
pub use header::{Header, Probe, WatchedCpu};
pub use kill::{Kill, Sender, Unlogged};
pub use origin::Origin;
pub use remedy::Remedy;
pub use summary::{CauseTotals, CpuSummary, Program, Summary, Tracer};
pub use task::Task;

/// One line of an isol-trace log: one JSON object. Lines of types, and fields, that this schema does not name may appear
/// with a later version; a reader skips them. An absent field is not known; 0 means zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Record<'a> {
    /// The first line.
    Header(Header<'a>),
    /// A kernel entry.
    Breach(Breach<'a>),
    /// A preempted task is in user mode again.
    Back(Back),
    /// What ends a breach.
    Remedy(Remedy<'a>),
    /// Records that found no room.
    Lost(Lost),
    /// The watched set has changed.
    Watched(Watched<'a>),
    /// A task goes to another CPU.
    Moved(Moved<'a>),
    /// A signal.
    Kill(Kill<'a>),
    /// The last line.
    Summary(Summary<'a>),
}
