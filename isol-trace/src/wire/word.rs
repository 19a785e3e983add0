//! Words of closed lists. A word that this version does not know is an error, since the record would mean
//! something else without it.

use std::{fmt, marker::PhantomData};

use isol_trace_common::{activity::Activity, cause::Cause, record::End};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use crate::event::{header::CpuChange, probe::Detection};

/// A value that the log spells as one of a closed list of words.
pub trait Spelled: Sized {
    /// What a word is, for errors.
    const WHAT: &'static str;
    /// The definition of the list in the schema; `None` where it stands in the one place that has it.
    const DEFINITION: Option<&'static str> = None;

    /// Every word, in the order in which people are told them.
    fn words() -> impl Iterator<Item = &'static str>;

    /// The word of this value.
    fn word(&self) -> &'static str;

    /// The value of a word; `None` where no value has it.
    fn of_word(word: &str) -> Option<Self>;
}

/// A value spelled as its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: Spelled> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Which of the variants does not show in text, and a writer knows that a word needs no escaping.
        serializer.serialize_unit_variant(T::WHAT, 0, self.0.word())
    }
}

impl<'de, T: Spelled> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: Spelled> Visitor<'_> for Parse<T> {
            type Value = Word<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::WHAT)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<T>, E> {
                T::of_word(text).map(Word).ok_or_else(|| {
                    E::custom(format_args!(
                        "'{text}' is not {} that this version of isol-trace knows",
                        T::WHAT
                    ))
                })
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// Declares closed lists that are the log's own: kinds of what has more to it than a word.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:expr,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Spelled for $name {
            const WHAT: &'static str = $what;

            fn words() -> impl Iterator<Item = &'static str> {
                [$($word,)+].into_iter()
            }

            fn word(&self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            fn of_word(word: &str) -> Option<Self> {
                [$((Self::$variant, $word),)+]
                    .into_iter()
                    .find_map(|(kind, its)| (its == word).then_some(kind))
            }
        }
    )+};
}

kinds! {
    /// Who provoked a breach.
    OriginKind, "an origin" {
        /// The task itself.
        Task = "task",
        /// Another CPU.
        Remote = "remote",
        /// A device.
        Device = "device",
        /// A timer or a work item of the kernel.
        Kernel = "kernel",
        /// isol-trace itself.
        Tracer = "tracer",
        /// Not known.
        Unknown = "unknown",
    }

    /// Who raised a signal.
    Raiser, "one who raises a signal" {
        /// Strict mode of the kernel's task isolation.
        StrictMode = "strict-mode",
        /// The strict mode that isol-trace makes.
        Tracer = "tracer",
        /// The task itself.
        Task = "task",
        /// Another process.
        Remote = "remote",
        /// The kernel.
        Kernel = "kernel",
        /// Not known.
        Unknown = "unknown",
    }

    /// What became of a probe.
    ProbeStateKind, "a probe's state" {
        /// In force.
        Attached = "attached",
        /// This kernel has no such hook.
        Absent = "absent",
        /// The hook is there, and attaching failed.
        Failed = "failed",
    }
}

/// Lists that other modules have, with their words.
macro_rules! spelled {
    ($($name:ident, $what:literal $(, $definition:literal)?;)+) => {$(
        impl Spelled for $name {
            const WHAT: &'static str = $what;
            $(const DEFINITION: Option<&'static str> = Some($definition);)?

            fn words() -> impl Iterator<Item = &'static str> {
                Self::ALL.iter().map(|value| value.word())
            }

            fn word(&self) -> &'static str {
                (*self).word()
            }

            fn of_word(word: &str) -> Option<Self> {
                Self::from_word(word)
            }
        }
    )+};
}

spelled! {
    Cause, "a cause", "cause_kind";
    Activity, "an activity";
    End, "an end";
    Detection, "a detection";
    CpuChange, "a change of a CPU";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{kill::KilledBy, origin::Origin};

    #[test]
    fn words_are_of_closed_lists() {
        let read = serde_json::from_str::<Word<Cause>>;
        assert_eq!(read("\"syscall\"").unwrap(), Word(Cause::Syscall));
        let error = read("\"sysenter\"").unwrap_err().to_string();
        let expected = "'sysenter' is not a cause that this version of isol-trace knows";
        assert!(error.starts_with(expected), "{error}");
    }

    fn all_read_back<T: Spelled>() {
        for word in T::words() {
            assert_eq!(T::of_word(word).map(|value| value.word()), Some(word));
        }
        assert!(T::of_word("odd").is_none());
    }

    #[test]
    fn every_word_reads_back() {
        all_read_back::<OriginKind>();
        all_read_back::<Raiser>();
        all_read_back::<ProbeStateKind>();
        all_read_back::<Detection>();
        all_read_back::<CpuChange>();
    }

    #[test]
    fn kinds_have_the_words_that_people_are_told() {
        assert!(OriginKind::words().eq(Origin::WORDS));
        assert!(Raiser::words().eq(KilledBy::WORDS));
    }
}
