//! A bounded cache: what has not been asked for lately is forgotten.

use std::{collections::HashMap, hash::Hash};

/// A map of at most `2 * generation` entries in two generations.
///
/// New and re-used entries are in the young one; when it is full it becomes the
/// old one, and the old one's unused entries are forgotten. That is within a
/// factor of two of true least-recently-used order and costs one hash lookup on a hit.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// Entries used since the generations last changed.
    young: HashMap<K, V>,
    /// Entries not used since then.
    old: HashMap<K, V>,
    /// Entries of a generation.
    generation: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty cache whose generations hold this many entries each; at least one.
    pub(crate) fn new(generation: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: generation.max(1),
        }
    }

    /// What is known of `key`.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// The same, which is no use of it.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Takes out what is known of `key`.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Remembers a value.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Entries remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Cache::new(4);
        cache.insert(0, "kept");
        for key in 1..100 {
            cache.insert(key, "passing");
            assert_eq!(cache.get(&0), Some("kept"));
        }
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn to_look_is_no_use() {
        let mut cache = Cache::new(2);
        for key in 0..3 {
            cache.insert(key, key);
        }
        assert_eq!(cache.peek(&1), Some(&1));
        assert_eq!(cache.get(&0), Some(0));
        cache.insert(3, 3);
        assert_eq!((cache.peek(&0), cache.peek(&1)), (Some(&0), None));
        assert_eq!((cache.take(&0), cache.take(&0)), (Some(0), None));
        assert_eq!(cache.take(&3), Some(3));
    }

    proptest! {
        /// It never grows past its bound and never answers with another or an older value.
        #[test]
        fn bounded_and_true(
            generation in 1_usize..8,
            steps in proptest::collection::vec((0_u8..20, any::<bool>()), 0..200),
        ) {
            let mut cache = Cache::new(generation);
            let mut latest = HashMap::new();
            for (count, (key, insert)) in steps.into_iter().enumerate() {
                if insert {
                    cache.insert(key, count);
                    latest.insert(key, count);
                    prop_assert_eq!(cache.get(&key), Some(count));
                } else if let Some(value) = cache.get(&key) {
                    prop_assert_eq!(Some(&value), latest.get(&key));
                }
                prop_assert!(cache.len() <= 2 * generation);
            }
        }
    }
}
