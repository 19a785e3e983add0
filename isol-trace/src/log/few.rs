//! Lists and texts of a log, bounded: whoever wrote it may have meant harm.

use std::{collections::VecDeque, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// Bytes of a text that are kept: several times what isol-trace writes.
pub(super) const MAX_TEXT: usize = 16 << 10;

/// Frames of a stack, and functions inlined at a place, that are kept.
pub(super) const MAX_FRAMES: usize = 256;

/// The first `N` of a list; what follows is read and left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Few<T, const N: usize>(pub(super) Vec<T>);

/// The last `N` of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Last<T, const N: usize>(pub(super) VecDeque<T>);

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const N: usize> Default for Last<T, N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T, const N: usize> IntoIterator for Few<T, N> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T, const N: usize> IntoIterator for Last<T, N> {
    type Item = T;
    type IntoIter = std::collections::vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Few<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Collect<T, N> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < N {
                    match list.next_element()? {
                        Some(item) => kept.push(item),
                        None => return Ok(kept),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(kept)
            }
        }

        deserializer
            .deserialize_seq(Collect::<T, N>(PhantomData))
            .map(Self)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Last<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Collect<T, N> {
            type Value = VecDeque<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VecDeque<T>, A::Error> {
                let mut kept = VecDeque::new();
                while let Some(item) = list.next_element()? {
                    if kept.len() >= N {
                        kept.pop_front();
                    }
                    kept.push_back(item);
                }
                Ok(kept)
            }
        }

        deserializer
            .deserialize_seq(Collect::<T, N>(PhantomData))
            .map(Self)
    }
}

/// A text of at most [`MAX_TEXT`] bytes: the beginning of a longer one.
pub(super) fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_somewhere() {
        let Few(first): Few<u32, 3> = serde_json::from_str("[1,2,3,\"x\",{}]").unwrap();
        assert_eq!(first, [1, 2, 3]);
        let Last(last): Last<u32, 3> = serde_json::from_str("[1,2,3,4,5]").unwrap();
        assert_eq!(last, [3, 4, 5]);
        let Few(all): Few<u32, 3> = serde_json::from_str("[1]").unwrap();
        assert_eq!(all, [1]);
    }

    #[test]
    fn texts_end_between_characters() {
        assert_eq!(short("abc"), "abc");
        let long = format!("{}é", "a".repeat(MAX_TEXT - 1));
        assert_eq!(short(&long).len(), MAX_TEXT - 1);
    }
}
