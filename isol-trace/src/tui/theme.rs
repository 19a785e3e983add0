//! Colours and signs, for light and dark terminals alike.
//!
//! Only three of the terminal's own colours are used, each with a word or a sign
//! that says the same, and never a background. `NO_COLOR` (no-color.org) turns
//! them off; a locale that names another character set than UTF-8 gets ASCII.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

/// How the screen is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours may be used.
    pub color: bool,
    /// Only ASCII may be used.
    pub ascii: bool,
}

impl Theme {
    /// With colours and every sign.
    pub const FULL: Self = Self {
        color: true,
        ascii: false,
    };

    /// As the environment asks; `variable` reads one of its variables.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let unicode = locale.is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self {
            color: set("NO_COLOR").is_none() && set("TERM").as_deref() != Some("dumb"),
            ascii: !unicode,
        }
    }

    fn colored(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    /// What must not be overlooked.
    #[must_use]
    pub fn alarm(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What should be known.
    #[must_use]
    pub fn warning(self) -> Style {
        self.colored(Color::Magenta)
    }

    /// What is as it should be.
    #[must_use]
    pub fn good(self) -> Style {
        self.colored(Color::Green)
    }

    /// Titles and names.
    #[must_use]
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What frames the rest.
    #[must_use]
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The selected row, a state of the whole screen.
    #[must_use]
    pub fn reversed(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Replaces every sign that is not ASCII, where the terminal asks for that.
    pub fn finish(self, buffer: &mut Buffer, area: Rect) {
        if !self.ascii {
            return;
        }
        for position in area.positions() {
            let Some(cell) = buffer.cell_mut(position) else {
                continue;
            };
            if !cell.symbol().is_ascii() {
                let plain = plain(cell.symbol());
                cell.set_symbol(plain);
            }
        }
    }
}

/// The ASCII sign that comes nearest.
fn plain(symbol: &str) -> &'static str {
    match symbol {
        "─" | "–" | "·" => "-",
        "━" => "=",
        "▸" => ">",
        "■" => "#",
        "µ" => "u",
        "…" => "~",
        "│" => "|",
        "↑" => "^",
        "↓" => "v",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(variables: &[(&str, &str)]) -> Theme {
        Theme::from_environment(|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_is_asked() {
        assert_eq!(theme(&[]), Theme::FULL);
        assert_eq!(
            theme(&[("NO_COLOR", "")]),
            Theme::FULL,
            "empty counts as not set"
        );
        assert!(!theme(&[("NO_COLOR", "1")]).color);
        assert!(!theme(&[("TERM", "dumb")]).color);
        assert!(theme(&[("LANG", "C")]).ascii);
        assert!(!theme(&[("LANG", "C"), ("LC_ALL", "C.UTF-8")]).ascii);
        assert!(!theme(&[("LANG", "de_DE.utf8")]).ascii);
    }

    #[test]
    fn without_color_no_style_has_one() {
        let theme = Theme {
            color: false,
            ascii: false,
        };
        for style in [
            theme.alarm(),
            theme.warning(),
            theme.good(),
            theme.strong(),
            theme.faint(),
            theme.reversed(),
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
