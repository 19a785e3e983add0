//! Makes text that comes from files safe to print: cuts it to a length, and escapes what a terminal would act on.

use std::sync::Arc;

/// The most bytes that a function's name takes, the offset behind it included.
pub const NAME: usize = 512;

/// The most bytes that the name of a source file takes, the line behind it included.
pub const SOURCE: usize = 256;

/// The character that replaces the rest of a text that was cut.
const CUT: char = '…';

/// The text in at most `limit` bytes, on one line. Characters that a terminal would act on are escaped.
pub(crate) fn limited(text: &str, limit: usize) -> Arc<str> {
    let is_plain = |letter| !is_hidden(letter);
    if text.len() <= limit && text.chars().all(is_plain) {
        return text.into();
    }
    let mut plain = String::with_capacity(limit.min(text.len()));
    // Where to cut: the end of the last character behind which `CUT` still fits.
    let mut keep = 0;
    for letter in text.chars() {
        if plain.len() + CUT.len_utf8() <= limit {
            keep = plain.len();
        }
        if is_plain(letter) {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_unicode());
        }
        if plain.len() > limit {
            plain.truncate(keep);
            plain.push(CUT);
            break;
        }
    }
    plain.into()
}

/// The bytes before the first zero byte, but at most `limit`. Without a zero byte, as many as `limit` allows.
pub(crate) fn until_zero(bytes: &[u8], limit: usize) -> &[u8] {
    let head = bytes.get(..limit).unwrap_or(bytes);
    let end = head.iter().position(|&byte| byte == 0);
    head.get(..end.unwrap_or(head.len())).unwrap_or(head)
}

/// Whether a terminal acts on this character rather than showing it.
pub(crate) fn is_hidden(letter: char) -> bool {
    letter.is_control() || is_steering(letter)
}

/// Whether a character changes the direction or the place of the characters around it (Unicode Annex 9),
/// separates lines or paragraphs, or is the byte order mark.
const fn is_steering(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_letter_and_says_so() {
        assert_eq!(&*limited("publish", 8), "publish");
        assert_eq!(&*limited("12345678", 8), "12345678");
        assert_eq!(&*limited("123456789", 8), "12345…");
        assert_eq!(&*limited("ééééé", 8), "éé…");
        for limit in 3..40 {
            let text = limited("a\u{1b}é\u{202e}bcd€𝄞 and more of that", limit);
            assert!(text.len() <= limit, "{limit}: {text}");
        }
    }

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(&*limited("a\u{1b}[2J", 99), "a\\u{1b}[2J");
        assert_eq!(&*limited("a\u{202e}b\n", 99), "a\\u{202e}b\\u{a}");
    }

    #[test]
    fn bytes_end_at_a_zero_or_at_the_limit() {
        assert_eq!(until_zero(b"ab\0c", 9), b"ab");
        assert_eq!(until_zero(b"abc", 2), b"ab");
    }
}
