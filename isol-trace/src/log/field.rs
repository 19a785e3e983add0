//! Values that the log spells as text.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::few::short;
use crate::event::{
    ids::{Address, RuleId},
    model::{Activity, Cause, CpuChange, Detection, End, Function},
};

/// Reads text into a value.
struct Parse<T> {
    /// What the text should be, for the error.
    what: &'static str,
    /// Reads it; `None` where it is not that.
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| {
            E::custom(format_args!(
                "'{text}' is not {} that this version of isol-trace knows",
                self.what
            ))
        })
    }
}

/// Declares a value that the log spells as text.
macro_rules! spelled {
    ($($(#[$doc:meta])* $name:ident($inner:ty): $what:literal, $parse:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let parse = Parse::<$inner> { what: $what, parse: $parse };
                deserializer.deserialize_str(parse).map(Self)
            }
        }
    )+};
}

spelled! {
    /// Any text, shared.
    Text(Arc<str>): "text", |text| Some(short(text).into());
    /// An address, `0x…`.
    Hex(Address): "an address", address;
    /// A place in the kernel: its name, or its address where it has none.
    Place(Function): "a place", |text| Some(place(text));
    /// Why the kernel was entered.
    CauseWord(Cause): "a cause", Cause::from_word;
    /// What it then did.
    ActivityWord(Activity): "an activity", Activity::from_word;
    /// How an entry ended.
    EndWord(End): "an end", End::from_word;
    /// How the entries of a CPU are found.
    DetectionWord(Detection): "a detection", Detection::from_word;
    /// What happened to a CPU.
    ChangeWord(CpuChange): "a change of a CPU", CpuChange::from_word;
    /// The name of a rule.
    Rule(RuleId): "a rule's name", RuleId::new;
}

fn address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x")?;
    // The parser takes a sign as well.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u64::from_str_radix(digits, 16).ok().map(Address))
        .flatten()
}

fn place(text: &str) -> Function {
    let address = address(text);
    Function {
        name: address.is_none().then(|| short(text).into()),
        address,
    }
}

/// The members of an object, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Members<K, V>(pub(super) Vec<(K, V)>);

impl<K, V> Default for Members<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Members<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Collect<K, V> {
            type Value = Members<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_hexadecimal_text() {
        assert_eq!(
            read("\"0x4016de\""),
            Ok(Hex(Address(0x40_16de))),
            "as the sink writes them"
        );
        for wrong in [
            "\"4016de\"",
            "\"0x\"",
            "\"0x+1\"",
            "\"0x10000000000000000\"",
        ] {
            let error = read::<Hex>(wrong).unwrap_err();
            assert!(error.contains("is not an address"), "{wrong}: {error}");
        }
        assert!(read::<Hex>("7").is_err());
    }

    #[test]
    fn a_place_has_a_name_or_an_address() {
        let Place(named) = read("\"do_sync_core+0x1 [mm]\"").unwrap();
        assert_eq!(named.name.as_deref(), Some("do_sync_core+0x1 [mm]"));
        assert_eq!(named.address, None);
        let Place(bare) = read("\"0xffffffff81000000\"").unwrap();
        assert_eq!(bare.name, None);
        assert_eq!(bare.address, Some(Address(0xffff_ffff_8100_0000)));
    }

    #[test]
    fn words_are_of_closed_lists() {
        assert_eq!(read("\"syscall\""), Ok(CauseWord(Cause::Syscall)));
        let error = read::<CauseWord>("\"sysenter\"").unwrap_err();
        let expected = "'sysenter' is not a cause that this version of isol-trace knows";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn members_keep_their_order() {
        let Members(members) = read::<Members<String, u64>>("{\"b\":1,\"a\":2}").unwrap();
        assert_eq!(members, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
    }
}
