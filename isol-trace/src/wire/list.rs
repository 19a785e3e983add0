//! Lists and maps of a record. Those of a log are bounded when they are read: whoever wrote it may have meant harm.

use std::{collections::VecDeque, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Frames of a stack, and functions inlined at a place, that are read.
pub const MAX_FRAMES: usize = 256;

/// The first `N` of a list; what follows is read and left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T, const N: usize>(pub Vec<T>);

/// The last `N` of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last<T, const N: usize>(pub VecDeque<T>);

/// The members of an object, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members<K, V>(pub Vec<(K, V)>);

/// What the three have in common.
macro_rules! list {
    ($name:ident<$($param:ident),+> $(, $size:ident)?: $items:ident<$item:ty>) => {
        impl<$($param,)+ $(const $size: usize)?> Default for $name<$($param,)+ $($size)?> {
            fn default() -> Self {
                Self($items::new())
            }
        }

        impl<$($param,)+ $(const $size: usize)?> FromIterator<$item> for $name<$($param,)+ $($size)?> {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                Self(items.into_iter().collect())
            }
        }

        impl<$($param,)+ $(const $size: usize)?> IntoIterator for $name<$($param,)+ $($size)?> {
            type Item = $item;
            type IntoIter = <$items<$item> as IntoIterator>::IntoIter;

            fn into_iter(self) -> Self::IntoIter {
                self.0.into_iter()
            }
        }

        impl<$($param,)+ $(const $size: usize)?> $name<$($param,)+ $($size)?> {
            /// Whether there is nothing in it.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }
    };
}

list!(Few<T>, N: Vec<T>);
list!(Last<T>, N: VecDeque<T>);
list!(Members<K, V>: Vec<(K, V)>);

impl<T: Serialize, const N: usize> Serialize for Few<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<T: Serialize, const N: usize> Serialize for Last<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<K: Serialize, V: Serialize> Serialize for Members<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
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
    fn members_keep_their_order() {
        let text = "{\"b\":1,\"a\":2}";
        let members: Members<String, u64> = serde_json::from_str(text).unwrap();
        assert_eq!(members.0, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
        assert_eq!(serde_json::to_string(&members).unwrap(), text);
    }
}
