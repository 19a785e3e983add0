//! The dashboard of `isol-trace top`.
//!
//! State and screen are apart. [`Update`]s and keys go into [`app::App`], which is
//! plain data and never looks at a clock or a terminal; [`view`] draws a `&App`
//! and changes nothing; [`run()`] holds the one loop that connects both to a real
//! terminal. So every screen can be tested from data alone.
//!
//! - [`model`]: what arrived: header, totals, the last breaches;
//! - [`notices`]: what a reader of the figures must know about them;
//! - [`rates`]: per-second figures from successive totals;
//! - [`rows`]: the tables' rows, sorted;
//! - [`app`]: what the user does with it: focus, selection, pause, tabs;
//! - [`input`]: which key means what;
//! - [`view`]: the screen; [`extent`]: what it showed of what there is;
//!   [`theme`] and [`text`]: its colours, figures and words;
//! - [`term`]: the terminal, restored on every exit;
//! - [`mod@run`]: the loop.

pub mod app;
pub mod extent;
pub mod input;
pub mod model;
pub mod notices;
pub mod rates;
pub mod rows;
pub mod run;
#[doc(hidden)]
pub mod sample;
pub mod term;
pub mod text;
pub mod theme;
pub mod view;

pub use app::App;
pub use run::{Outcome, run};

use crate::event::model::{Event, Header, Summary, Totals, TracerSummary};

/// What a session tells the dashboard.
///
/// The channel is bounded, and breaches can come faster than a screen can show
/// them: the sender may leave out [`Event::Breach`] if it says so with
/// [`Update::Skipped`]. Totals are never left out: the counts on the screen are
/// theirs, and they are due at least once a second even where nothing happened,
/// because the rates are taken from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// What is watched, and how.
    Header(Header),
    /// One event. [`Event::Header`] and [`Event::Summary`] are understood as
    /// [`Update::Header`] and [`Update::Ended`].
    Event(Event),
    /// The ledger as it stands.
    Totals(Totals),
    /// What the tracer itself costs, as it stands.
    Tracer(TracerSummary),
    /// So many breaches were not sent since the last such update, to keep up.
    Skipped(u64),
    /// The last update: the tracer is disarmed.
    Ended(Summary),
}
