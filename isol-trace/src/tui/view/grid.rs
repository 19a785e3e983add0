//! A table: a titled rule, a heading, the rows that fit, the selected one among them.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::Line,
};

use crate::tui::{text, theme::Theme};

/// How wide a column is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Width {
    /// So many columns.
    Fixed(u16),
    /// A part of what the fixed ones leave.
    Rest(u16),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: Width,
    /// Figures stand to the right.
    pub(super) right: bool,
    /// Left out where the table is narrower than this.
    pub(super) from: u16,
}

/// A column of text.
pub(super) const fn words(title: &'static str, width: Width, from: u16) -> Column {
    Column {
        title,
        width,
        right: false,
        from,
    }
}

/// A column of figures.
pub(super) const fn figures(title: &'static str, width: u16, from: u16) -> Column {
    Column {
        title,
        width: Width::Fixed(width),
        right: true,
        from,
    }
}

/// What a row says in one column.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) const fn styled(text: String, style: Style) -> Self {
        Self { text, style }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::styled(text, Style::new())
    }
}

/// A table but for its rows.
pub(super) struct Grid<'a> {
    pub(super) theme: Theme,
    pub(super) title: String,
    pub(super) focused: bool,
    pub(super) columns: &'a [Column],
    /// The column by which it is ordered, and whether the greatest comes first.
    pub(super) ordered: (usize, bool),
    pub(super) rows: usize,
    pub(super) selected: Option<usize>,
    /// Said in place of rows where there are none.
    pub(super) empty: Vec<Line<'static>>,
}

impl Grid<'_> {
    /// Draws as many rows as fit, and says how many that are.
    pub(super) fn render(
        &self,
        area: Rect,
        buffer: &mut Buffer,
        row: impl Fn(usize) -> Vec<Cell>,
    ) -> usize {
        let [top, head, body] = split(area);
        let room = usize::from(body.height);
        let first = first_shown(self.selected.unwrap_or(0), self.rows, room);
        let last = (first + room).min(self.rows);
        let place = if self.rows > room && room > 0 {
            format!("{}-{last} of {}", first + 1, text::count(self.rows as u64))
        } else {
            String::new()
        };
        rule(top, buffer, self.theme, self.focused, &self.title, &place);
        let widths = self.widths(area.width);
        let headings = self.columns.iter().enumerate().map(|(index, column)| {
            let mark = match self.ordered {
                (by, true) if by == index => "↓",
                (by, false) if by == index => "↑",
                _ => "",
            };
            Cell::styled(format!("{}{mark}", column.title), self.theme.faint())
        });
        self.line(head, buffer, &widths, headings);
        for (index, y) in (first..last).zip(body.y..body.bottom()) {
            let area = Rect {
                y,
                height: 1,
                ..body
            };
            self.line(area, buffer, &widths, row(index));
            if self.selected == Some(index) {
                buffer.set_stringn(area.x, y, "▸", usize::from(area.width), self.theme.strong());
                if self.focused {
                    buffer.set_style(area, self.theme.reversed());
                }
            }
        }
        if self.rows == 0 {
            for (line, y) in self.empty.iter().zip(body.y..body.bottom()) {
                buffer.set_line(body.x + 1, y, line, body.width.saturating_sub(1));
            }
        }
        room
    }

    /// The columns that are shown: where from and how wide.
    fn widths(&self, width: u16) -> Vec<Option<(u16, u16)>> {
        let gap = if width >= 100 { 2 } else { 1 };
        let shown = |column: &Column| column.from <= width;
        let mut left = width.saturating_sub(1);
        let mut parts = 0;
        for column in self.columns.iter().filter(|column| shown(column)) {
            left = left.saturating_sub(gap);
            match column.width {
                Width::Fixed(fixed) => left = left.saturating_sub(fixed),
                Width::Rest(part) => parts += part,
            }
        }
        // One space for the mark of the selected row, no gap after the last column.
        left += gap.min(width);
        let mut x = 1;
        let place = |column: &Column| {
            if !shown(column) {
                return None;
            }
            let wanted = match column.width {
                Width::Fixed(fixed) => fixed,
                Width::Rest(part) => {
                    let share = left * part / parts.max(1);
                    (left, parts) = (left - share, parts - part);
                    share
                }
            };
            let from = x;
            x += wanted + gap;
            Some((from, wanted.min(width.saturating_sub(from))))
        };
        self.columns.iter().map(place).collect()
    }

    fn line(
        &self,
        area: Rect,
        buffer: &mut Buffer,
        widths: &[Option<(u16, u16)>],
        cells: impl IntoIterator<Item = Cell>,
    ) {
        if area.is_empty() {
            return;
        }
        for ((column, place), cell) in self.columns.iter().zip(widths).zip(cells) {
            let Some((from, width)) = *place else {
                continue;
            };
            let width = usize::from(width);
            if width == 0 {
                continue;
            }
            let mut shown = text::fit(&cell.text, width);
            if column.right {
                let pad = width.saturating_sub(text::width(&shown));
                shown.insert_str(0, &" ".repeat(pad));
            }
            buffer.set_stringn(area.x + from, area.y, shown, width, cell.style);
        }
    }
}

/// Rule, heading and body.
fn split(area: Rect) -> [Rect; 3] {
    let row = |skip: u16, most: u16| Rect {
        y: area.y + skip.min(area.height),
        height: area.height.saturating_sub(skip).min(most),
        ..area
    };
    [row(0, 1), row(1, 1), row(2, u16::MAX)]
}

/// The first row to show, so that the selected one is in the middle where it can be.
fn first_shown(selected: usize, rows: usize, room: usize) -> usize {
    selected
        .saturating_sub(room / 2)
        .min(rows.saturating_sub(room))
}

/// A rule with a title at its left and something smaller at its right; heavy where keys go.
pub(super) fn rule(
    area: Rect,
    buffer: &mut Buffer,
    theme: Theme,
    focused: bool,
    title: &str,
    right: &str,
) {
    if area.is_empty() {
        return;
    }
    let width = usize::from(area.width);
    let (sign, title_style) = if focused {
        ("━", theme.strong())
    } else {
        ("─", Style::new())
    };
    let title_style = title_style.remove_modifier(Modifier::DIM);
    buffer.set_stringn(area.x, area.y, sign.repeat(width), width, theme.faint());
    let title = text::fit(&format!(" {title} "), width.saturating_sub(2));
    buffer.set_stringn(
        area.x + 1,
        area.y,
        &title,
        width.saturating_sub(1),
        title_style,
    );
    let right_width = text::width(right) + 2;
    let free = width.saturating_sub(text::width(&title) + 3);
    if !right.is_empty()
        && right_width <= free
        && let Ok(from) = u16::try_from(width - right_width - 1)
    {
        let right = format!(" {right} ");
        buffer.set_stringn(area.x + from, area.y, right, right_width, theme.faint());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_row_is_always_in_sight() {
        for rows in 0..30 {
            for room in 1..12 {
                for selected in 0..rows {
                    let first = first_shown(selected, rows, room);
                    assert!(
                        (first..first + room).contains(&selected),
                        "{selected} {rows} {room}"
                    );
                    assert!(
                        first == 0 || first + room <= rows,
                        "no empty rows below a scrolled table"
                    );
                }
            }
        }
    }
}
