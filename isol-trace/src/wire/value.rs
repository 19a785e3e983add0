//! What a member of a record holds: text, numbers, addresses, places.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use crate::event::ids::Address;

/// Bytes of a text that are read: several times what isol-trace writes.
const MAX_TEXT: usize = 16 << 10;

/// Any text. What is longer than 16 KiB is read up to there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

/// A text that says something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "'de: 'a"))]
pub struct Name<'a>(pub Text<'a>);

/// RFC 3339, UTC, nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "'de: 'a"))]
pub struct Time<'a>(pub Text<'a>);

/// A number that the kernel gave: interrupt, system call, trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub u32);

/// A number of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Count(pub u64);

/// A place in the kernel: its name, or its address where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// As `function+0x1f [module]`.
    Named(Text<'a>),
    /// A place without a name.
    Bare(Address),
}

impl Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a str> for Time<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.into())
    }
}

impl<'a> From<&'a str> for Name<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Name<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(Text(text))
    }
}

impl From<Text<'_>> for Arc<str> {
    fn from(text: Text<'_>) -> Self {
        text.as_str().into()
    }
}

impl From<Name<'_>> for Arc<str> {
    fn from(name: Name<'_>) -> Self {
        name.0.into()
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short;

        impl<'de> Visitor<'de> for Short {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(short(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(short(text).to_owned()))
            }
        }

        deserializer.deserialize_str(Short).map(Self)
    }
}

/// The beginning of a text, of at most [`MAX_TEXT`] bytes.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

impl Serialize for Place<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => name.serialize(serializer),
            Self::Bare(address) => address.serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Place<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Ok(match address(text.as_str()) {
            Some(address) => Self::Bare(address),
            None => Self::Named(text),
        })
    }
}

/// Lower-case hexadecimal without leading zeros, `0x…`: not every JSON reader keeps 64 bits of a number.
impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut room = [0; 18];
        serializer.serialize_str(spelled(self.0, &mut room))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;

        impl Visitor<'_> for Hex {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                address(text).ok_or_else(|| {
                    E::custom(format_args!(
                        "'{text}' is not an address that this version of isol-trace knows"
                    ))
                })
            }
        }

        deserializer.deserialize_str(Hex)
    }
}

/// An address as text, in as much of the room as it takes.
fn spelled(value: u64, room: &mut [u8; 18]) -> &str {
    let mut at = room.len();
    let mut rest = value;
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    at -= 2;
    room[at..at + 2].copy_from_slice(b"0x");
    // Digits are ASCII: the other case does not occur.
    std::str::from_utf8(&room[at..]).unwrap_or("0x0")
}

/// The address that a text spells; `None` where it spells none.
fn address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x")?;
    // The parser takes a sign as well.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u64::from_str_radix(digits, 16).ok().map(Address))
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_address_is_told() {
        for wrong in [
            "\"4016de\"",
            "\"0x\"",
            "\"0x+1\"",
            "\"0x10000000000000000\"",
        ] {
            let error = read::<Address>(wrong).unwrap_err();
            assert!(error.contains("is not an address"), "{wrong}: {error}");
        }
        assert!(read::<Address>("7").is_err());
    }

    #[test]
    fn a_place_has_a_name_or_an_address() {
        let text = "\"do_sync_core+0x1 [mm]\"";
        let named: Place<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(named, Place::Named("do_sync_core+0x1 [mm]".into()));
        let bare: Place<'_> = serde_json::from_str("\"0xffffffff81000000\"").unwrap();
        assert_eq!(bare, Place::Bare(Address(0xffff_ffff_8100_0000)));
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        let Text(text) = serde_json::from_str("\"main\"").unwrap();
        assert!(matches!(text, Cow::Borrowed("main")));
        let Text(text) = serde_json::from_str("\"\\u202e\"").unwrap();
        assert_eq!(text, "\u{202e}");
    }

    #[test]
    fn texts_end_between_characters() {
        assert_eq!(short("abc"), "abc");
        let long = format!("{}é", "a".repeat(MAX_TEXT - 1));
        assert_eq!(short(&long).len(), MAX_TEXT - 1);
        let whole = format!("\"{long}\"");
        let Text(read) = serde_json::from_str(&whole).unwrap();
        assert_eq!(read.len(), MAX_TEXT - 1);
        let escaped = format!("\"\\n{long}\"");
        let Text(read) = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read.len(), MAX_TEXT);
    }

    proptest! {
        #[test]
        fn addresses_read_back(value: u64) {
            let text = serde_json::to_string(&Address(value)).unwrap();
            prop_assert_eq!(&text, &format!("\"{value:#x}\""));
            prop_assert_eq!(read(&text), Ok(Address(value)));
        }
    }
}
