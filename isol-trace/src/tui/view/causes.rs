//! The table of causes.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    grid::{Cell, Column, Grid, Width, figures, words},
    header::cause_style,
};
use crate::{
    event::ids::Nanos,
    tui::{
        App,
        app::{Pane, position},
        rows::{CauseRow, Column as _},
        text,
        theme::Theme,
    },
};

const COLUMNS: &[Column] = &[
    words("CAUSE", Width::Fixed(20), 0),
    figures("COUNT", 10, 0),
    figures("PER S", 6, 34),
    figures("TIME", 8, 43),
    figures("P99", 8, 62),
    figures("MAX", 8, 52),
    words("OF ALL TIME", Width::Rest(1), 72),
];

/// The column in [`COLUMNS`] of each column of the order.
const ORDERED: &[usize] = &[1, 2, 3, 4, 5, 0];

/// Draws the table and says how many rows there is room for.
pub(super) fn render(
    app: &App,
    rows: &[CauseRow],
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> usize {
    let ui = app.ui();
    let focused = ui.pane == Pane::Causes;
    let mut title = match ui.only.cpu {
        Some(cpu) => format!("Causes on CPU {cpu}"),
        None => "Causes".to_owned(),
    };
    if let Some(cause) = ui.only.cause {
        title.push_str(", below only ");
        title.push_str(cause.word());
    }
    let order = ui.cause_order;
    let grid = Grid {
        theme,
        title,
        focused,
        columns: COLUMNS,
        ordered: (
            ORDERED.get(order.by.index()).copied().unwrap_or(0),
            order.descending(),
        ),
        rows: rows.len(),
        selected: (focused && !rows.is_empty()).then(|| position(rows, ui.cause, |row| row.cause)),
        empty: vec!["none yet".into()],
    };
    let all = rows.iter().filter_map(|row| row.time);
    let all = all.map(|Nanos(time)| time).sum();
    grid.render(area, buffer, |index| {
        rows.get(index)
            .map(|row| cells(row, all, theme))
            .unwrap_or_default()
    })
}

fn cells(row: &CauseRow, all: u64, theme: Theme) -> Vec<Cell> {
    let count = text::count(row.count);
    let count = if text::width(&count) > 10 {
        text::short_count(row.count)
    } else {
        count
    };
    vec![
        Cell::styled(row.cause.word().to_owned(), cause_style(row.cause, theme)),
        count.into(),
        row.rate
            .map_or_else(|| text::UNKNOWN.to_owned(), text::rate)
            .into(),
        text::maybe_duration(row.time).into(),
        text::maybe_duration(row.p99).into(),
        text::maybe_duration(row.max).into(),
        row.time
            .map_or_else(|| text::UNKNOWN.to_owned(), |Nanos(time)| part(time, all))
            .into(),
    ]
}

/// A share in figures, with a bar of one sign for each tenth begun.
fn part(time: u64, all: u64) -> String {
    if all == 0 {
        return text::UNKNOWN.to_owned();
    }
    let part = time as f64 / all as f64;
    let tenths = (1..=10).filter(|tenth| part * 10.0 > f64::from(tenth - 1));
    let bar: String = tenths.map(|_| '■').collect();
    if time > 0 && part < 0.005 {
        return format!(" <1% {bar}");
    }
    format!("{:>3.0}% {bar}", part * 100.0)
}
