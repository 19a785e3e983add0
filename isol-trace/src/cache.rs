//! A bounded cache: what has not been asked for the longest is forgotten.

use std::{hash::Hash, num::NonZeroUsize};

use lru::LruCache;

/// A map that forgets.
pub(crate) type Cache<K, V> = LruCache<K, V>;

/// An empty cache of so many entries, at least one. Memory is taken as it fills.
pub(crate) fn cache<K: Eq + Hash, V>(entries: usize) -> Cache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
    cache
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_and_no_more_than_there_is_room_for() {
        let mut cache = cache(4);
        cache.put(0, "kept");
        for key in 1..100 {
            cache.put(key, "passing");
            assert_eq!(cache.get(&0), Some(&"kept"));
        }
        assert_eq!(cache.len(), 4);
        assert_eq!((cache.peek(&96), cache.peek(&97)), (None, Some(&"passing")));
    }

    #[test]
    fn nothing_is_room_for_one() {
        let mut cache = cache(0);
        cache.put(1, ());
        cache.put(2, ());
        assert_eq!((cache.peek(&1), cache.peek(&2)), (None, Some(&())));
    }
}
