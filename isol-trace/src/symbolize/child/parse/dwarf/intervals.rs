//! An index of address ranges: finds the ranges that cover an address. Ranges may overlap, and each has a value.

/// Ranges that are still being collected. [`Self::build`] makes the index.
#[derive(Debug)]
pub(super) struct IntervalsBuilder<T>(Vec<Interval<T>>);

/// The index: ranges in the order of `begin`, then of `end`.
#[derive(Debug)]
pub(super) struct Intervals<T>(Vec<Interval<T>>);

/// A range of addresses, without its `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval<T> {
    pub(super) begin: u64,
    pub(super) end: u64,
    /// The highest `end` of this range and of all ranges before it in the index.
    max_end: u64,
    pub(super) value: T,
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> IntervalsBuilder<T> {
    /// How many ranges fit into `bytes` while the list grows. A growing list may take twice the memory of
    /// what is in it.
    pub(super) fn capacity_in(bytes: u64) -> usize {
        usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<Interval<T>>() / 2
    }

    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a range, and returns how many ranges there are now.
    pub(super) fn add(&mut self, begin: u64, end: u64, value: T) -> usize {
        self.0.push(Interval {
            begin,
            end,
            max_end: 0,
            value,
        });
        self.0.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn build(self) -> Intervals<T> {
        let Self(mut all) = self;
        all.sort_unstable_by_key(|it| (it.begin, it.end));
        let mut max_end = 0;
        for range in &mut all {
            max_end = max_end.max(range.end);
            range.max_end = max_end;
        }
        all.shrink_to_fit();
        Intervals(all)
    }
}

impl<T> Intervals<T> {
    /// The ranges that cover `address`, the one with the highest `begin` first. Of the ranges that begin at
    /// or before `address`, only the last `limit` are examined.
    pub(super) fn covering(
        &self,
        address: u64,
        limit: usize,
    ) -> impl Iterator<Item = &Interval<T>> {
        let end = self.0.partition_point(|it| it.begin <= address);
        let before = self.0.get(..end).unwrap_or_default();
        let near = before.iter().rev().take(limit);
        near.take_while(move |it| address < it.max_end)
            .filter(move |it| address < it.end)
    }

    /// The memory that the index takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Interval<T>>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(ranges: &[(u64, u64)]) -> Intervals<usize> {
        let mut unsorted = IntervalsBuilder::new();
        for (number, &(begin, end)) in ranges.iter().enumerate() {
            assert_eq!(unsorted.add(begin, end, number), number + 1);
        }
        unsorted.build()
    }

    fn covering(ranges: &[(u64, u64)], address: u64, limit: usize) -> Vec<usize> {
        let all = sorted(ranges);
        all.covering(address, limit).map(|it| it.value).collect()
    }

    #[test]
    fn the_last_to_begin_comes_first_and_an_end_is_outside() {
        let ranges = [(0, 100), (10, 20), (30, 40), (12, 15)];
        assert_eq!(covering(&ranges, 12, 9), [3, 1, 0]);
        assert_eq!(covering(&ranges, 15, 9), [1, 0]);
        assert_eq!(covering(&ranges, 25, 9), [0]);
        assert_eq!(covering(&ranges, 100, 9), [0; 0]);
    }

    #[test]
    fn no_more_are_looked_at_than_asked_for() {
        let ranges = [(0, 100), (1, 2), (3, 4)];
        assert_eq!(covering(&ranges, 50, 3), [0]);
        assert_eq!(covering(&ranges, 50, 2), [0; 0]);
    }

    proptest! {
        #[test]
        fn all_that_cover_an_address_are_found(
            ranges in proptest::collection::vec((0_u64..40, 0_u64..40), 0..20),
            address in 0_u64..45,
        ) {
            let mut found = covering(&ranges, address, usize::MAX);
            found.sort_unstable();
            let is_covered = |&(begin, end): &(u64, u64)| begin <= address && address < end;
            let expected: Vec<_> = (0..ranges.len()).filter(|at| is_covered(&ranges[*at])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
