//! JSON into a byte buffer that is reused: members, numbers, addresses and escaped text.
//!
//! Written by hand because a log line is written for every kernel entry of a
//! storm; nothing here allocates once the buffer has grown.

use crate::{event::ids::Address, printable::misleads};

/// The name of a member, as it stands in the text: comma, quotes and colon around it.
///
/// Made by [`key!`] from a literal of this crate, which needs no escaping.
#[derive(Clone, Copy)]
pub(super) struct Key(pub(super) &'static str);

/// A member's name, spelled out at compile time: writing it is one copy.
macro_rules! key {
    ($name:literal) => {
        $crate::sink::encode::Key(concat!(",\"", $name, "\":"))
    };
}
pub(super) use key;

/// One JSON object being written: an opening brace on creation, the closing one by [`Object::end`].
pub(super) struct Object<'a> {
    /// Where it is written.
    out: &'a mut Vec<u8>,
    /// Nothing is in it yet.
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Closes it.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Writes a name and its colon; the caller writes the value into what is returned.
    pub(super) fn member(&mut self, key: Key) -> &mut Vec<u8> {
        // The first member has no comma.
        let from = usize::from(self.empty);
        self.empty = false;
        self.out.extend_from_slice(&key.0.as_bytes()[from..]);
        self.out
    }

    /// As [`Self::member`], for a name that is not a literal.
    pub(super) fn member_named(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A number.
    pub(super) fn number(&mut self, key: Key, value: impl Into<u64>) {
        number(self.member(key), value.into());
    }

    /// A number that may be negative.
    pub(super) fn integer(&mut self, key: Key, value: i32) {
        let out = self.member(key);
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A number, if it is known.
    pub(super) fn known_number(&mut self, key: Key, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// Text.
    pub(super) fn text(&mut self, key: Key, value: &str) {
        text(self.member(key), value);
    }

    /// Text, if it is known.
    pub(super) fn known_text(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A word of this crate, which needs no escaping.
    pub(super) fn word(&mut self, key: Key, value: &'static str) {
        let out = self.member(key);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: Key, value: bool) {
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.member(key).extend_from_slice(word);
    }

    /// An address, as the text `0x…`.
    pub(super) fn address(&mut self, key: Key, value: Address) {
        address(self.member(key), value.0);
    }

    /// An array, each item written by `write`.
    pub(super) fn array<T>(
        &mut self,
        key: Key,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) {
        let out = self.member(key);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(out, item);
        }
        out.push(b']');
    }
}

/// Writes a decimal number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes an address as text: lower-case hexadecimal without leading zeros.
pub(super) fn address(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = HEX[(rest & 0xf) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(b"\"0x");
    out.extend_from_slice(&digits[at..]);
    out.push(b'"');
}

/// Writes text in quotes, escaped as RFC 8259 section 7 asks: quotes, backslashes
/// and control characters. So are those that would steer a terminal, or turn the order of the text around: who reads
/// JSON gets the same text, and who prints a line of the log is not misled. Others stay as they are, in UTF-8.
pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let bytes = value.as_bytes();
    // Names almost never need escaping; without an early exit this check runs on many bytes at once.
    let clean = bytes
        .iter()
        .fold(true, |clean, &byte| clean & stands_for_itself(byte));
    if clean {
        out.extend_from_slice(bytes);
    } else {
        for letter in value.chars() {
            if matches!(letter, '"' | '\\') || misleads(letter) {
                escape(out, letter);
            } else {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Whether a byte of UTF-8 may stand in JSON text as it is, whatever stands beside it.
const fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\'
}

/// Writes one character that may not stand for itself.
fn escape(out: &mut Vec<u8>, letter: char) {
    let short = match letter {
        '"' => b'"',
        '\\' => b'\\',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        _ => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(HEX[usize::from(*unit >> shift & 0xf)]);
                }
            }
            return;
        }
    };
    out.push(b'\\');
    out.push(short);
}

/// Digits of hexadecimal numbers.
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn addresses_are_text_without_leading_zeros() {
        assert_eq!(written(|out| address(out, 0)), "\"0x0\"");
        assert_eq!(written(|out| address(out, 0x40_16de)), "\"0x4016de\"");
        assert_eq!(
            written(|out| address(out, u64::MAX)),
            "\"0xffffffffffffffff\""
        );
    }

    #[test]
    fn hostile_names_cannot_leave_their_quotes() {
        let name = "a\"b\\c\n\u{1}\u{7f}é\u{202e}\u{e0041}";
        assert_eq!(
            written(|out| text(out, name)),
            r#""a\"b\\c\n\u0001\u007fé\u202e\udb40\udc41""#
        );
    }

    proptest! {
        #[test]
        fn text_reads_back(value in ".*") {
            let json = written(|out| text(out, &value));
            prop_assert!(!json.contains('\n'));
            let back: String = serde_json::from_str(&json).expect("valid JSON");
            prop_assert_eq!(back, value);
        }

        #[test]
        fn control_characters_read_back(bytes in proptest::collection::vec(0_u8..0x80, 0..40)) {
            let value = String::from_utf8(bytes).expect("ASCII");
            let json = written(|out| text(out, &value));
            let back: String = serde_json::from_str(&json).expect("valid JSON");
            prop_assert_eq!(back, value);
        }

        #[test]
        fn addresses_read_back(value: u64) {
            let expected = format!("\"{value:#x}\"");
            prop_assert_eq!(written(|out| address(out, value)), expected);
        }
    }
}
