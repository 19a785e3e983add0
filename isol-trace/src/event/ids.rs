//! Numbers that cannot be mixed up.

use std::{fmt, sync::Arc};

/// Declares a transparent number type.
macro_rules! number {
    ($(#[$outer:meta])* $name:ident($inner:ty)) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    };
}

number!(
    /// A CPU's number.
    Cpu(u32)
);
number!(
    /// A process: the number that user space calls pid, the kernel tgid.
    Pid(u32)
);
number!(
    /// A thread: the number that user space calls tid, the kernel pid.
    Tid(u32)
);
number!(
    /// A length of time in nanoseconds.
    Nanos(u64)
);
number!(
    /// A point in time: `CLOCK_MONOTONIC`, nanoseconds.
    MonoNanos(u64)
);
number!(
    /// The number of a breach in its log, from 1.
    Seq(u64)
);

/// An address, user's or kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A rule of [`crate::remedy`], by its stable name: small letters, digits and dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// The rule of this name; `None` where it is no such name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let letters = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        name.split('-').all(letters).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_a_name_of_words_and_dashes() {
        for name in ["cow", "tlb-ksm", "rcu-callbacks-2"] {
            assert_eq!(RuleId::new(name).as_ref().map(RuleId::as_str), Some(name));
        }
        for name in ["", "-", "a-", "-a", "a--b", "A", "a_b", "a b"] {
            assert_eq!(RuleId::new(name), None, "{name}");
        }
    }
}
