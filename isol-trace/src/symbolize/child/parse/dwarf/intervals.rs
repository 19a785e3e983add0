//! Ranges of addresses that may overlap, each with what it belongs to, and which of them cover an address.

/// What is still to be sorted.
#[derive(Debug)]
pub(super) struct Unsorted<T>(Vec<Interval<T>>);

/// Ranges by their beginning.
#[derive(Debug)]
pub(super) struct Intervals<T>(Vec<Interval<T>>);

/// A range, its end not among it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval<T> {
    pub(super) begin: u64,
    pub(super) end: u64,
    /// The highest end of this and all before it.
    reach: u64,
    pub(super) of: T,
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Unsorted<T> {
    /// How many fit into so many bytes while the list grows, which takes twice as much as it has.
    pub(super) fn most(bytes: u64) -> usize {
        usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<Interval<T>>() / 2
    }

    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a range, and says how many there are.
    pub(super) fn add(&mut self, begin: u64, end: u64, of: T) -> usize {
        self.0.push(Interval {
            begin,
            end,
            reach: 0,
            of,
        });
        self.0.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn sort(self) -> Intervals<T> {
        let Self(mut all) = self;
        all.sort_unstable_by_key(|it| (it.begin, it.end));
        let mut reach = 0;
        for range in &mut all {
            reach = reach.max(range.end);
            range.reach = reach;
        }
        all.shrink_to_fit();
        Intervals(all)
    }
}

impl<T> Intervals<T> {
    /// Those that cover an address, the last to begin first. At most so many before it are looked at.
    pub(super) fn covering(
        &self,
        address: u64,
        looked_at: usize,
    ) -> impl Iterator<Item = &Interval<T>> {
        let end = self.0.partition_point(|it| it.begin <= address);
        let before = self.0.get(..end).unwrap_or_default();
        let near = before.iter().rev().take(looked_at);
        near.take_while(move |it| address < it.reach)
            .filter(move |it| address < it.end)
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Interval<T>>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(ranges: &[(u64, u64)]) -> Intervals<usize> {
        let mut unsorted = Unsorted::new();
        for (number, &(begin, end)) in ranges.iter().enumerate() {
            assert_eq!(unsorted.add(begin, end, number), number + 1);
        }
        unsorted.sort()
    }

    fn covering(ranges: &[(u64, u64)], address: u64, looked_at: usize) -> Vec<usize> {
        let all = sorted(ranges);
        all.covering(address, looked_at).map(|it| it.of).collect()
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
