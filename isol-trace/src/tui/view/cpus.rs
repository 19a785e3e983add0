//! The table of watched CPUs.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    grid::{Cell, Column, Grid, Width, figures, words},
    header::cause_style,
};
use crate::{
    event::model::Detection,
    tui::{
        App,
        app::{Pane, position},
        rows::{self, CpuColumn, CpuRow},
        text,
        theme::Theme,
    },
};

const COLUMNS: &[Column] = &[
    figures("CPU", 4, 0),
    words("TASK", Width::Fixed(15), 36),
    figures("ENTRIES/S", 9, 34),
    figures("TOTAL", 8, 0),
    figures("WORST", 7, 0),
    figures("KERNEL%", 7, 46),
    words("LAST CAUSE", Width::Rest(1), 70),
    figures("QUIET FOR", 12, 94),
    figures("UNATTR", 7, 108),
    figures("LOST", 7, 100),
    figures("FILTERED", 8, 124),
    words("FOUND BY", Width::Fixed(16), 136),
];

/// The column in [`COLUMNS`] of each column of the order.
const ORDERED: &[usize] = &[0, 2, 3, 4, 5];

/// Draws the table and says how many rows there is room for.
pub(super) fn render(
    app: &App,
    rows: &[CpuRow],
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> usize {
    let ui = app.ui();
    let focused = ui.pane == Pane::Cpus;
    let title = match ui.only.cpu {
        Some(cpu) => format!("CPUs ({}), below only {cpu}", rows.len()),
        None => format!("CPUs ({})", rows.len()),
    };
    let order = ui.cpu_order;
    let grid = Grid {
        theme,
        title,
        focused,
        columns: COLUMNS,
        ordered: (
            ORDERED.get(order_index(order.by)).copied().unwrap_or(0),
            order.descending(),
        ),
        rows: rows.len(),
        selected: (focused && !rows.is_empty()).then(|| position(rows, ui.cpu, |row| row.cpu)),
        empty: vec!["not known yet".into()],
    };
    grid.render(area, buffer, |index| {
        rows.get(index)
            .map(|row| cells(row, theme))
            .unwrap_or_default()
    })
}

fn order_index(by: CpuColumn) -> usize {
    use rows::Column as _;
    by.index()
}

fn cells(row: &CpuRow, theme: Theme) -> Vec<Cell> {
    let plain = Style::new();
    let number =
        |number: Option<u64>| number.map_or_else(|| text::UNKNOWN.to_owned(), text::short_count);
    let alarming = |figure: Option<u64>| {
        let style = if figure.is_some_and(|figure| figure > 0) {
            theme.alarm()
        } else {
            plain
        };
        Cell::styled(number(figure), style)
    };
    let task = match &row.last {
        Some(last) => last.comm.as_deref().unwrap_or("?").to_owned(),
        None => text::UNKNOWN.to_owned(),
    };
    let last = match &row.last {
        Some(last) => Cell::styled(
            rows::cause_words(last.cause, last.name.as_ref()),
            cause_style(last.cause, theme),
        ),
        None if row.total == Some(0) && !row.open => {
            let quiet = text::lasted(row.quiet.unwrap_or_default());
            Cell::styled(format!("quiet for {quiet}"), theme.good())
        }
        None => text::UNKNOWN.to_owned().into(),
    };
    let quiet = match row.quiet {
        Some(quiet) => text::lasted(quiet),
        None if row.open => "in kernel".to_owned(),
        None => text::UNKNOWN.to_owned(),
    };
    let cpu = match row.detection {
        Some(Detection::Vectors) => format!("{}~", row.cpu),
        _ => row.cpu.to_string(),
    };
    vec![
        cpu.into(),
        task.into(),
        row.rate
            .map_or_else(|| text::UNKNOWN.to_owned(), text::rate)
            .into(),
        number(row.total).into(),
        text::maybe_duration(row.worst).into(),
        row.share
            .map_or_else(|| text::UNKNOWN.to_owned(), text::share)
            .into(),
        last,
        quiet.into(),
        alarming(row.unattributed),
        alarming(row.lost),
        number(row.filtered).into(),
        row.detection
            .map_or(text::UNKNOWN, Detection::word)
            .to_owned()
            .into(),
    ]
}
