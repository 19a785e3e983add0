//! Text in quotes that can be printed as it is.

use crate::printable::misleads;

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
                    out.push(b"0123456789abcdef"[usize::from(*unit >> shift & 0xf)]);
                }
            }
            return;
        }
    };
    out.push(b'\\');
    out.push(short);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &str) -> String {
        let mut out = Vec::new();
        text(&mut out, value);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn hostile_names_cannot_leave_their_quotes() {
        let name = "a\"b\\c\n\u{1}\u{7f}é\u{202e}\u{e0041}";
        assert_eq!(
            written(name),
            r#""a\"b\\c\n\u0001\u007fé\u202e\udb40\udc41""#
        );
    }

    proptest! {
        #[test]
        fn text_reads_back(value in ".*") {
            let json = written(&value);
            prop_assert!(!json.contains('\n'));
            let back: String = serde_json::from_str(&json).expect("valid JSON");
            prop_assert_eq!(back, value);
        }

        #[test]
        fn control_characters_read_back(bytes in proptest::collection::vec(0_u8..0x80, 0..40)) {
            let value = String::from_utf8(bytes).expect("ASCII");
            let json = written(&value);
            let back: String = serde_json::from_str(&json).expect("valid JSON");
            prop_assert_eq!(back, value);
        }
    }
}
