//! Who gets which rows of the screen.

use ratatui::layout::Rect;

use crate::tui::app::{Pane, Ui};

/// Below so many rows only the pane that has the keys is shown.
const TWO_PANES: u16 = 9;
/// Below so many rows the CPUs are shown with the pane that has the keys.
const ALL_PANES: u16 = 16;
/// From so many rows on the tables stay beside an open detail.
const TABLES_BESIDE_DETAIL: u16 = 32;
/// Rule and heading of a table.
const FRAME: u16 = 2;

/// The screen's three parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) header: Rect,
    pub(super) body: Rect,
    pub(super) footer: Rect,
}

/// Splits the screen. The footer goes first where there is little room.
pub(super) fn screen(area: Rect, header_lines: usize) -> Screen {
    let header = u16::try_from(header_lines)
        .unwrap_or(u16::MAX)
        .min(area.height);
    let rest = area.height - header;
    let footer = u16::from(rest > 3);
    let mut parts = stack(area, &[header, rest - footer, footer]).into_iter();
    let mut part = || parts.next().unwrap_or_default();
    Screen {
        header: part(),
        body: part(),
        footer: part(),
    }
}

/// The live panes that are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    pub(super) cpus: Option<Rect>,
    pub(super) causes: Option<Rect>,
    pub(super) breaches: Option<Rect>,
    pub(super) detail: Option<Rect>,
}

/// Shares the body out: the tables get what they need within reason, the list the rest.
pub(super) fn live(body: Rect, cpus: usize, causes: usize, ui: &Ui) -> Live {
    let height = body.height;
    if height < TWO_PANES {
        let mut live = Live::default();
        *match ui.pane {
            Pane::Detail => &mut live.detail,
            Pane::Breaches if ui.detail => &mut live.detail,
            Pane::Breaches => &mut live.breaches,
            Pane::Cpus => &mut live.cpus,
            Pane::Causes => &mut live.causes,
        } = Some(body);
        return live;
    }
    if ui.detail && height < TABLES_BESIDE_DETAIL {
        let list = (height * 2 / 5).clamp(FRAME + 3, 14);
        let parts = stack(body, &[list, height - list]);
        return Live {
            breaches: parts.first().copied(),
            detail: parts.get(1).copied(),
            ..Live::default()
        };
    }
    let want = |rows: usize| {
        u16::try_from(rows.max(1))
            .unwrap_or(u16::MAX)
            .saturating_add(FRAME)
    };
    if height < ALL_PANES {
        let top = want(cpus).min(height / 2 - 1);
        let parts = stack(body, &[top, height - top]);
        let (top, rest) = (parts.first().copied(), parts.get(1).copied());
        let causes = ui.pane == Pane::Causes;
        return Live {
            cpus: top,
            causes: rest.filter(|_| causes),
            breaches: rest.filter(|_| !causes),
            detail: None,
        };
    }
    let list_least = if ui.detail { height / 2 } else { height / 3 }.max(FRAME + 4);
    let tables = height - list_least;
    let causes = want(causes).min(tables.saturating_sub(want(cpus)).max(tables / 2));
    let cpus = want(cpus).min(tables - causes);
    let rest = height - cpus - causes;
    if !ui.detail {
        let parts = stack(body, &[cpus, causes, rest]);
        return Live {
            cpus: parts.first().copied(),
            causes: parts.get(1).copied(),
            breaches: parts.get(2).copied(),
            detail: None,
        };
    }
    let list = (rest / 3).max(FRAME + 3);
    let parts = stack(body, &[cpus, causes, list, rest - list]);
    Live {
        cpus: parts.first().copied(),
        causes: parts.get(1).copied(),
        breaches: parts.get(2).copied(),
        detail: parts.get(3).copied(),
    }
}

/// Areas of these heights below each other.
fn stack(area: Rect, heights: &[u16]) -> Vec<Rect> {
    let mut y = area.y;
    let part = |&height: &u16| {
        let part = Rect { y, height, ..area };
        y += height;
        part.intersection(area)
    };
    heights.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_never_leave_the_screen_nor_overlap() {
        for height in 0..80 {
            for detail in [false, true] {
                for (cpus, causes) in [(0, 0), (1, 3), (384, 18), (2, 100_000)] {
                    let area = Rect::new(0, 0, 80, height);
                    let screen = screen(area, 3);
                    let ui = Ui {
                        detail,
                        ..Ui::default()
                    };
                    let live = live(screen.body, cpus, causes, &ui);
                    let panes = [live.cpus, live.causes, live.breaches, live.detail];
                    let inner: u16 = panes.iter().flatten().map(|pane| pane.height).sum();
                    assert_eq!(inner, screen.body.height, "{height} rows");
                    let all = screen.header.height + screen.body.height + screen.footer.height;
                    assert_eq!(all, height);
                    for pane in panes.into_iter().flatten() {
                        assert_eq!(pane, pane.intersection(screen.body), "{height} rows");
                    }
                }
            }
        }
    }

    #[test]
    fn many_cpus_leave_room_for_causes_and_breaches() {
        let live = live(Rect::new(0, 0, 80, 20), 384, 6, &Ui::default());
        let height = |pane: Option<Rect>| pane.map_or(0, |pane| pane.height);
        assert!(height(live.cpus) >= FRAME + 2);
        assert!(height(live.causes) >= FRAME + 2);
        assert!(height(live.breaches) >= FRAME + 4);
    }
}
