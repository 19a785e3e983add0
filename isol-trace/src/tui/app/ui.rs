//! The part of the state that only keys change: tabs, focus, selection, order.

use isol_trace_common::cause::Cause;

use crate::{
    event::ids::Cpu,
    tui::{
        model::Kept,
        rows::{BreachColumn, CauseColumn, CpuColumn, Only, Order},
    },
};

/// A screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// The live tables.
    #[default]
    Live,
    /// The probes and what is seen through them.
    Probes,
}

/// Where keys go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The CPU table.
    Cpus,
    /// The causes table.
    Causes,
    /// The list of breaches.
    #[default]
    Breaches,
    /// The detail of a breach.
    Detail,
}

/// The part of the state that only keys change.
#[derive(Clone, Debug)]
pub struct Ui {
    /// The screen.
    pub tab: Tab,
    /// Where keys go.
    pub pane: Pane,
    /// The help is open.
    pub help: bool,
    /// The detail is open.
    pub detail: bool,
    /// What the lists are narrowed to.
    pub only: Only,
    /// Order of the CPU table.
    pub cpu_order: Order<CpuColumn>,
    /// Order of the causes table.
    pub cause_order: Order<CauseColumn>,
    /// Order of the list of breaches.
    pub breach_order: Order<BreachColumn>,
    /// The selected CPU; `None` is the first row, whichever it is.
    pub cpu: Option<Cpu>,
    /// The selected cause, likewise.
    pub cause: Option<Cause>,
    /// The selected breach, likewise: the first row is the newest one. Kept whole, so
    /// that the detail stays when the list has let go of it.
    pub breach: Option<Kept>,
    /// Lines scrolled in the detail.
    pub detail_scroll: usize,
    /// Lines scrolled among the probes.
    pub probes_scroll: usize,
    /// Lines scrolled in the help.
    pub help_scroll: usize,
}

impl Default for Ui {
    fn default() -> Self {
        Self {
            tab: Tab::default(),
            pane: Pane::default(),
            help: false,
            detail: false,
            only: Only::default(),
            cpu_order: Order::by(CpuColumn::Cpu),
            cause_order: Order::by(CauseColumn::Count),
            breach_order: Order::by(BreachColumn::Time),
            cpu: None,
            cause: None,
            breach: None,
            detail_scroll: 0,
            probes_scroll: 0,
            help_scroll: 0,
        }
    }
}
