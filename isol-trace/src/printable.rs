//! Text of others on a terminal of ours.
//!
//! Names of tasks, functions, files, folders and drivers may have anything in them: codes that steer a terminal,
//! line feeds that fake a line of ours, characters that turn the order of the text around. Whatever goes to a
//! terminal or into a text for people goes through [`Printable`]. JSON escapes the same characters in its own way, so that
//! names are read back exactly as they are.

use std::{borrow::Cow, fmt};

/// Text that stays on its line, steers no terminal and shows what it holds.
///
/// Control characters, characters that are not seen and those that change the direction of writing are
/// spelled as `\u{1b}`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a str);

impl<'a> Printable<'a> {
    /// To print this text.
    #[must_use]
    pub const fn of(text: &'a str) -> Self {
        Self(text)
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&printable(self.0))
    }
}

/// The same as text.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if misleads(letter) {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain.into()
}

/// The same of text that has lines: these stay.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter| letter != '\n' && misleads(letter)) {
        return text.into();
    }
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n").into()
}

/// Whether a character does something to the text around it, or is not seen.
///
/// Control characters (Unicode's category Cc) and, of the format characters (Cf) and separators, those that steer
/// the direction (UAX #9), have no width, or break lines.
pub(crate) const fn misleads(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            // Soft hyphen, and marks of direction.
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            // Separators of lines and paragraphs, embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Invisible operators and isolates.
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            // Tags, which are not seen.
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_stays_on_its_line() {
        assert_eq!(printable("a\nb\u{1b}[2Jé"), "a\\nb\\u{1b}[2Jé");
        assert_eq!(printable("a\u{9b}2J"), "a\\u{9b}2J");
    }

    #[test]
    fn the_direction_of_writing_stays() {
        for letter in "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}"
            .chars()
        {
            let text = format!("a{letter}b");
            assert_eq!(
                printable(&text),
                format!("a\\u{{{:x}}}b", u32::from(letter)),
                "{letter:?}"
            );
        }
    }

    #[test]
    fn what_is_not_seen_is_shown() {
        for letter in
            "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{ad}\u{2028}\u{2029}\u{e0041}".chars()
        {
            assert!(!printable(&format!("a{letter}b")).contains(letter));
        }
    }

    #[test]
    fn lines_stay_where_there_are_lines() {
        assert_eq!(printable_lines("a\nb\u{202e}\n"), "a\nb\\u{202e}\n");
        assert_eq!(printable_lines("a\nb\n"), "a\nb\n");
    }

    #[test]
    fn it_is_padded_as_text_is() {
        assert_eq!(format!("{:4}|", Printable::of("ab")), "ab  |");
    }
}
