//! The screen: a pure function of the [`App`], at any size.

mod breaches;
mod causes;
mod cpus;
mod detail;
mod grid;
mod header;
mod help;
mod layout;
mod probes;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    App,
    app::{Pane, Tab},
    extent::Extent,
    theme::Theme,
};
use crate::printable::misleads;

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, app: &App, theme: Theme) -> Extent {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let extent = draw_into(buffer, area, app, theme);
    plain(buffer);
    theme.finish(buffer, area);
    extent
}

/// Takes out whatever would steer the terminal or turn the order of the text around: names come from others.
fn plain(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().contains(misleads) {
            cell.set_symbol("·");
        }
    }
}

fn draw_into(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) -> Extent {
    let mut extent = Extent::default();
    if area.is_empty() {
        return extent;
    }
    let most = (usize::from(area.height) / 6).clamp(1, 5);
    let header = header::lines(app, theme, area.width, most);
    let screen = layout::screen(area, header.len());
    header::render(&header, screen.header, buffer);
    match app.ui().tab {
        Tab::Live => live(buffer, screen.body, app, theme, &mut extent),
        Tab::Probes => {
            (extent.probes, extent.page) = probes::render(app, theme, screen.body, buffer);
        }
    }
    footer(buffer, screen.footer, app, theme);
    if app.ui().help {
        (extent.help, extent.page) = help::render(app, theme, area, buffer);
    }
    extent
}

fn live(buffer: &mut Buffer, body: Rect, app: &App, theme: Theme, extent: &mut Extent) {
    let (cpus, causes) = (app.cpus(), app.causes());
    let panes = layout::live(body, cpus.len(), causes.len(), app.ui());
    extent.tables = panes.cpus.is_some();
    let mut page = |pane: Pane, rows: usize| {
        if pane == app.ui().pane {
            extent.page = rows;
        }
    };
    if let Some(area) = panes.cpus {
        page(Pane::Cpus, cpus::render(app, &cpus, theme, area, buffer));
    }
    if let Some(area) = panes.causes {
        let rows = causes::render(app, &causes, theme, area, buffer);
        page(Pane::Causes, rows);
    }
    if let Some(area) = panes.breaches {
        page(Pane::Breaches, breaches::render(app, theme, area, buffer));
    }
    if let Some(area) = panes.detail {
        let (scroll, rows) = detail::render(app, theme, area, buffer);
        page(Pane::Detail, rows);
        extent.detail = scroll;
    }
}

/// The keys that matter now, as many as fit.
fn footer(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    let ui = app.ui();
    let paused = app.meanwhile().is_some();
    let pause = if paused { "go on" } else { "pause" };
    let enter = match ui.pane {
        Pane::Detail => "close",
        Pane::Breaches if ui.detail => "close",
        Pane::Breaches => "detail",
        Pane::Cpus | Pane::Causes => "only this",
    };
    let mut keys = vec![("q", "quit"), ("?", "help"), ("space", pause)];
    match ui.tab {
        Tab::Live => {
            keys.extend([("Tab", "next table"), ("Enter", enter), ("s/S", "sort")]);
            if ui.only.narrows() {
                keys.push(("Bksp", "show all"));
            }
            keys.push(("2", "probes"));
        }
        Tab::Probes => keys.push(("1", "live tables")),
    }
    let mut line = Line::default();
    for (key, what) in keys {
        let gap = if line.spans.is_empty() { "" } else { "  " };
        let what = format!(" {what}");
        if line.width() + gap.len() + key.len() + what.len() > usize::from(area.width) {
            break;
        }
        line.push_span(Span::raw(gap));
        line.push_span(Span::styled(key, theme.strong()));
        line.push_span(Span::styled(what, theme.faint()));
    }
    if !area.is_empty() {
        buffer.set_line(area.x, area.y, &line, area.width);
    }
}

/// Draws lines from the one that `scroll` says. Gives how far could be scrolled, and
/// how many lines there is room for.
fn scrolled(
    lines: &[Line<'static>],
    scroll: usize,
    area: Rect,
    buffer: &mut Buffer,
) -> (usize, usize) {
    let room = usize::from(area.height);
    let most = lines.len().saturating_sub(room);
    let shown = lines.iter().skip(scroll.min(most));
    for (line, y) in shown.zip(area.y..area.bottom()) {
        buffer.set_line(area.x, y, line, area.width);
    }
    (most, room)
}

#[cfg(test)]
mod tests;
