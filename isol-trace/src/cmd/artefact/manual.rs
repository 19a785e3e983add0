//! A manual page: what the definition of a command says, with examples and exit status under headings of their own.

use std::{fmt::Write as _, io};

use clap::builder::Resettable;
use clap_mangen::Man;

use crate::tui::input::HELP;

/// The page of a command; that of the dashboard has its keys.
pub(super) fn page(command: clap::Command, has_keys: bool) -> io::Result<Vec<u8>> {
    let after = command
        .get_after_help()
        .map_or_else(String::new, ToString::to_string);
    let mut page = Vec::new();
    Man::new(command.after_help(Resettable::Reset)).render(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    let keys = if has_keys { keys() } else { String::new() };
    let own = keys + &sections(&after);
    // The version comes last, where there is one.
    let end = page.find(VERSION).unwrap_or(page.len());
    let (before, last) = page.split_at(end);
    Ok(format!("{before}{own}{last}").into_bytes())
}

/// The heading of the version.
const VERSION: &str = ".SH VERSION\n";

/// The keys of the dashboard.
fn keys() -> String {
    let mut text = ".SH KEYS\n".to_owned();
    for (keys, what) in HELP {
        // Writing to a string does not fail.
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", escaped(keys), escaped(what));
    }
    text
}

/// What stands behind the options in the help, each part under its heading.
fn sections(help: &str) -> String {
    let mut text = String::new();
    for part in help
        .split("\n\n")
        .map(str::trim_end)
        .filter(|it| !it.is_empty())
    {
        let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
        let _ = match first {
            "Example:" | "Examples:" => {
                let lines = rest.lines().map(|line| escaped(line.trim_start()));
                let lines = lines.collect::<Vec<_>>().join("\n");
                writeln!(text, ".SH EXAMPLES\n.nf\n{lines}\n.fi")
            }
            _ => {
                let words = part.strip_prefix("Exit status: ").unwrap_or(part);
                writeln!(text, ".SH \"EXIT STATUS\"\n{}", escaped(words))
            }
        };
    }
    text
}

/// Text as roff(7) prints it: no requests, dashes that can be copied.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text.lines().map(|line| {
        let guard = if line.starts_with(['.', '\'']) {
            "\\&"
        } else {
            ""
        };
        format!("{guard}{line}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_and_exit_status_have_headings() {
        let text = sections("Examples:\n  a --b \\\n  .c\n\nExit status: 0 done.");
        assert_eq!(
            text,
            ".SH EXAMPLES\n.nf\na \\-\\-b \\e\n\\&.c\n.fi\n.SH \"EXIT STATUS\"\n0 done.\n"
        );
    }
}
