//! The help: keys, and what the figures mean.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Widget as _},
};

use super::scrolled;
use crate::tui::{App, input, text, theme::Theme};

/// What the columns mean.
const WORDS: &[(&str, &str)] = &[
    ("breach", "a kernel entry of a watched task"),
    ("KERNEL", "time in the kernel without idling"),
    ("KERNEL%", "its share of the last two seconds"),
    ("THEN", "what the kernel did before it returned"),
    ("P99", "99 of 100 took at most this long"),
    ("QUIET", "since the last entry of this CPU"),
    ("~", "CPU whose entries are derived from vectors"),
    (
        "lost",
        "records that did not fit the ring; the totals count them all the same",
    ),
    ("unattr", "entries that no probe gave a cause"),
];

/// Draws the help over the middle of the screen. Gives how far it could be scrolled,
/// and the lines there is room for.
pub(super) fn render(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) -> (usize, usize) {
    let width = area.width.min(64);
    let lines = lines(theme, usize::from(width.saturating_sub(4)));
    let wanted = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let height = area.height.min(wanted);
    let popup = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(popup, buffer);
    let block = Block::bordered()
        .title(" Help ")
        .title_style(theme.strong());
    let block = if theme.ascii {
        block.border_set(ASCII_BORDER)
    } else {
        block
    };
    let mut inner = block.inner(popup);
    block.render(popup, buffer);
    inner.x += 1.min(inner.width);
    inner.width = inner.width.saturating_sub(2);
    scrolled(&lines, app.ui().help_scroll, inner, buffer)
}

const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

fn lines(theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (index, table) in [input::HELP, WORDS].into_iter().enumerate() {
        if index > 0 {
            lines.push(Line::default());
        }
        for (name, what) in table {
            let room = width.saturating_sub(10).max(1);
            for (index, line) in text::wrap(what, room).into_iter().enumerate() {
                let name = if index == 0 { *name } else { "" };
                lines.push(Line::from(vec![
                    Span::styled(format!("{name:<10}"), theme.strong()),
                    Span::raw(line),
                ]));
            }
        }
    }
    lines
}
