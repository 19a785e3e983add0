//! The page that is printed and kept.

use std::fmt::Write as _;

/// A page of Markdown under way.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// A heading.
    pub(super) fn heading(&mut self, level: usize, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(&"#".repeat(level));
        self.line(&format!(" {text}"));
        self.0.push('\n');
    }

    /// A line.
    pub(super) fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// A table.
    pub(super) fn table(&mut self, fill: impl FnOnce(&mut Table)) {
        let mut table = Table::default();
        fill(&mut table);
        self.0.push_str(&table.written());
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// A table under way: aligned, so that it reads well in a terminal, too.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// The first row.
    pub(super) fn head(&mut self, cells: &[&str]) {
        self.row(cells);
    }

    /// Another row.
    pub(super) fn row(&mut self, cells: &[&str]) {
        self.0
            .push(cells.iter().map(|&cell| cell.to_owned()).collect());
    }

    fn written(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.0.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(4)
            })
            .collect();
        let mut text = String::new();
        for (index, row) in self.0.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // The first column is words, the others are figures.
                let _ = if column == 0 {
                    write!(text, "| {cell:<width$} ")
                } else {
                    write!(text, "| {cell:>width$} ")
                };
            }
            text.push_str("|\n");
            if index == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let end = if column == 0 { '-' } else { ':' };
                    let _ = write!(text, "| {}{end} ", "-".repeat(width - 1));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut page = Page::default();
        page.heading(1, "Cost");
        page.table(|table| {
            table.head(&["what", "ns"]);
            table.row(&["nothing", "1.0"]);
        });
        let expected = "# Cost\n\n| what    |   ns |\n| ------- | ---: |\n| nothing |  1.0 |\n";
        assert_eq!(page.text(), expected);
    }
}
