//! What arrived together with what the user does with it: pause, and all that is in [`Ui`].
//!
//! Plain data: it never looks at a clock, a terminal or a channel.

use super::{
    Update,
    extent::Extent,
    input::Key,
    model::{Kept, Model},
    rows::{self, CauseRow, CpuRow, Only},
};
use crate::event::ids::MonoNanos;

mod ui;

pub use ui::{Pane, Tab, Ui};

/// What the caller has to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but to draw when [`App::take_dirty`] says so.
    Continue,
    /// Wipe the terminal and draw everything.
    Repaint,
    /// Leave.
    Quit,
}

/// What came in while the view was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meanwhile {
    /// Kernel entries.
    pub entries: u64,
    /// Records lost.
    pub lost: u64,
    /// The tracer was disarmed.
    pub ended: bool,
}

/// The dashboard's whole state.
#[derive(Clone, Debug, Default)]
pub struct App {
    live: Model,
    frozen: Option<Box<Model>>,
    dirty: bool,
    extent: Extent,
    ui: Ui,
}

impl App {
    /// A dashboard to which nothing has been said yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            dirty: true,
            ..Self::default()
        }
    }

    /// Takes an update. A held view counts on.
    pub fn apply(&mut self, update: Update) {
        self.dirty |= self.live.apply(update);
    }

    /// Time goes on.
    pub fn tick(&mut self, now: MonoNanos) {
        let news = self.live.tick(now);
        self.dirty |= news && self.frozen.is_none();
    }

    /// The terminal has another size, or its content is gone.
    pub const fn resized(&mut self) {
        self.dirty = true;
    }

    /// Whether there is anything new to draw since the last call.
    pub const fn take_dirty(&mut self) -> bool {
        std::mem::replace(&mut self.dirty, false)
    }

    /// Whether there is anything new to draw.
    #[must_use]
    pub const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// How far the last drawing could scroll.
    pub fn drawn(&mut self, extent: Extent) {
        self.extent = extent;
        let ui = &mut self.ui;
        ui.detail_scroll = ui.detail_scroll.min(extent.detail);
        ui.probes_scroll = ui.probes_scroll.min(extent.probes);
        ui.help_scroll = ui.help_scroll.min(extent.help);
    }

    /// What the screen shows: as it stands, or as it stood when it was held.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// The last update has come.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.live.ended.is_some()
    }

    /// What keys have set.
    #[must_use]
    pub const fn ui(&self) -> &Ui {
        &self.ui
    }

    /// What came in since the view was held; `None` while it is not.
    #[must_use]
    pub fn meanwhile(&self) -> Option<Meanwhile> {
        let frozen = self.frozen.as_deref()?;
        Some(Meanwhile {
            entries: self.live.entries().saturating_sub(frozen.entries()),
            lost: self.live.lost().saturating_sub(frozen.lost()),
            ended: self.live.ended.is_some() && frozen.ended.is_none(),
        })
    }

    /// The CPU table.
    #[must_use]
    pub fn cpus(&self) -> Vec<CpuRow> {
        rows::cpus(self.model(), self.ui.cpu_order)
    }

    /// The causes table.
    #[must_use]
    pub fn causes(&self) -> Vec<CauseRow> {
        rows::causes(self.model(), self.ui.cause_order, self.ui.only)
    }

    /// The list of breaches.
    #[must_use]
    pub fn breaches(&self) -> Vec<&Kept> {
        rows::breaches(self.model(), self.ui.breach_order, self.ui.only)
    }

    /// The breach whose detail is to be shown: the selected one, or the first of the list.
    #[must_use]
    pub fn shown_breach(&self) -> Option<&Kept> {
        let rows = self.breaches();
        let Some(selected) = &self.ui.breach else {
            return rows.first().copied();
        };
        let listed = rows
            .into_iter()
            .find(|kept| kept.breach.seq == selected.breach.seq);
        Some(listed.unwrap_or(selected))
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key) -> Action {
        self.dirty = true;
        if self.ui.help {
            return self.key_in_help(key);
        }
        match key {
            Key::Quit => return Action::Quit,
            Key::Repaint => return Action::Repaint,
            Key::Escape => return self.escape(),
            Key::Help => (self.ui.help, self.ui.help_scroll) = (true, 0),
            Key::Pause => {
                self.frozen = match self.frozen.take() {
                    Some(_) => None,
                    None => Some(Box::new(self.live.clone())),
                }
            }
            Key::LiveTab => self.ui.tab = Tab::Live,
            Key::ProbesTab => self.ui.tab = Tab::Probes,
            key => match self.ui.tab {
                Tab::Live => self.key_in_live(key),
                Tab::Probes => {
                    self.ui.probes_scroll =
                        self.scroll(self.ui.probes_scroll, self.extent.probes, key);
                }
            },
        }
        Action::Continue
    }

    fn key_in_help(&mut self, key: Key) -> Action {
        match key {
            Key::Quit => return Action::Quit,
            Key::Repaint => return Action::Repaint,
            Key::Escape | Key::Help | Key::Enter => self.ui.help = false,
            key => {
                self.ui.help_scroll = self.scroll(self.ui.help_scroll, self.extent.help, key);
            }
        }
        Action::Continue
    }

    /// Closes the topmost thing that is open.
    fn escape(&mut self) -> Action {
        if self.ui.tab != Tab::Live {
            self.ui.tab = Tab::Live;
        } else if self.ui.detail {
            self.close_detail();
        } else if self.ui.only.narrows() {
            self.ui.only = Only::default();
        } else {
            return Action::Quit;
        }
        Action::Continue
    }

    fn close_detail(&mut self) {
        self.ui.detail = false;
        if self.ui.pane == Pane::Detail {
            self.ui.pane = Pane::Breaches;
        }
    }

    fn key_in_live(&mut self, key: Key) {
        match key {
            Key::NextPane => self.ui.pane = self.neighbour(1),
            Key::PreviousPane => self.ui.pane = self.neighbour(-1),
            Key::Sort => match self.ui.pane {
                Pane::Cpus => self.ui.cpu_order.step(),
                Pane::Causes => self.ui.cause_order.step(),
                Pane::Breaches | Pane::Detail => self.ui.breach_order.step(),
            },
            Key::Reverse => {
                let reversed = match self.ui.pane {
                    Pane::Cpus => &mut self.ui.cpu_order.reversed,
                    Pane::Causes => &mut self.ui.cause_order.reversed,
                    Pane::Breaches | Pane::Detail => &mut self.ui.breach_order.reversed,
                };
                *reversed = !*reversed;
            }
            Key::Clear => self.ui.only = Only::default(),
            Key::Enter => self.enter(),
            key => self.step(key),
        }
    }

    /// The panes that are on the screen, in the order of Tab.
    fn panes(&self) -> &'static [Pane] {
        use Pane::{Breaches, Causes, Cpus, Detail};
        match (self.ui.detail, self.extent.tables) {
            (false, _) => &[Cpus, Causes, Breaches],
            (true, true) => &[Cpus, Causes, Breaches, Detail],
            (true, false) => &[Breaches, Detail],
        }
    }

    fn neighbour(&self, by: isize) -> Pane {
        let panes = self.panes();
        let here = panes.iter().position(|&pane| pane == self.ui.pane);
        let there = here.map_or(0, |here| {
            here.wrapping_add_signed(by.rem_euclid(panes.len().cast_signed()))
        });
        panes
            .get(there % panes.len())
            .copied()
            .unwrap_or(self.ui.pane)
    }

    fn enter(&mut self) {
        match self.ui.pane {
            Pane::Cpus => {
                let rows = self.cpus();
                let picked = picked(&rows, self.ui.cpu, |row| row.cpu);
                self.ui.only.cpu = picked.filter(|_| self.ui.only.cpu != picked);
            }
            Pane::Causes => {
                let rows = self.causes();
                let picked = picked(&rows, self.ui.cause, |row| row.cause);
                self.ui.only.cause = picked.filter(|_| self.ui.only.cause != picked);
            }
            Pane::Breaches if self.ui.detail => self.close_detail(),
            Pane::Breaches => {
                // What is open stays open: the selection no longer follows the newest one.
                self.ui.breach = self.shown_breach().cloned();
                self.ui.detail = self.ui.breach.is_some();
                self.ui.detail_scroll = 0;
            }
            Pane::Detail => self.close_detail(),
        }
    }

    fn step(&mut self, key: Key) {
        let page = self.extent.page;
        match self.ui.pane {
            Pane::Cpus => {
                let rows = self.cpus();
                let here = position(&rows, self.ui.cpu, |row| row.cpu);
                let there = stepped(here, rows.len(), key, page);
                self.ui.cpu = there.and_then(|index| rows.get(index)).map(|row| row.cpu);
            }
            Pane::Causes => {
                let rows = self.causes();
                let here = position(&rows, self.ui.cause, |row| row.cause);
                let there = stepped(here, rows.len(), key, page);
                self.ui.cause = there.and_then(|index| rows.get(index)).map(|row| row.cause);
            }
            Pane::Breaches => {
                let rows = self.breaches();
                let selected = self.ui.breach.as_ref().map(|kept| kept.breach.seq);
                let here = position(&rows, selected, |kept| kept.breach.seq);
                let there = stepped(here, rows.len(), key, page);
                let mut picked = there.and_then(|index| rows.get(index).copied().cloned());
                if self.ui.detail && picked.is_none() {
                    picked = rows.first().copied().cloned();
                }
                if picked != self.ui.breach {
                    self.ui.detail_scroll = 0;
                }
                self.ui.breach = picked;
            }
            Pane::Detail => {
                self.ui.detail_scroll = self.scroll(self.ui.detail_scroll, self.extent.detail, key);
            }
        }
    }

    /// Lines scrolled after a key.
    fn scroll(&self, from: usize, most: usize, key: Key) -> usize {
        stepped(from, most + 1, key, self.extent.page).unwrap_or(0)
    }
}

/// Where a selected row is now: the first one where nothing is selected or it is gone.
#[must_use]
pub fn position<R, K: PartialEq>(rows: &[R], key: Option<K>, of: impl Fn(&R) -> K) -> usize {
    let found = key.and_then(|key| rows.iter().position(|row| of(row) == key));
    found.unwrap_or(0)
}

/// The key of the row that is selected now.
fn picked<R, K: PartialEq + Copy>(rows: &[R], key: Option<K>, of: impl Fn(&R) -> K) -> Option<K> {
    rows.get(position(rows, key, &of)).map(of)
}

/// The row after a key, of so many; `None` is the first row, whichever that will be.
fn stepped(here: usize, rows: usize, key: Key, page: usize) -> Option<usize> {
    let last = rows.saturating_sub(1);
    let there = match key {
        Key::Up => here.saturating_sub(1),
        Key::Down => here.saturating_add(1),
        Key::PageUp => here.saturating_sub(page.max(1)),
        Key::PageDown => here.saturating_add(page.max(1)),
        Key::First => 0,
        Key::Last => last,
        _ => here,
    };
    Some(there.min(last)).filter(|&there| there > 0)
}

#[cfg(test)]
mod tests;
