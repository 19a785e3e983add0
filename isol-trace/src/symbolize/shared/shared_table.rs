//! A table of bounded size that users share.
//!
//! A stranger has as much put in as it likes. So it is not what was used longest ago that goes first, which would be
//! everybody else's, but of what the user holds who holds the most what that one used longest ago. What several users
//! have used is held by each of them, and goes when the last of them gives it.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use super::protocol::Payer;

/// Users that may hold an entry, on average: each hold takes memory. Where there are more, the user who has the most holds
/// gives first.
const HOLDERS: usize = 8;

/// What users hold in common.
#[derive(Debug)]
pub(crate) struct SharedTable<K, V> {
    all: HashMap<K, Entry<V>>,
    /// How many entries there may be.
    room: usize,
    /// How many holders all entries have together.
    holds: usize,
    /// Counts what is used.
    uses: u64,
}

/// Something, and who holds it.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    holders: Vec<Holder>,
}

/// Who holds something.
#[derive(Clone, Copy, Debug)]
struct Holder {
    payer: Payer,
    /// When it last used that.
    used: u64,
}

impl<V> Entry<V> {
    /// A user uses it. Whether that one did not hold it before.
    fn hold(&mut self, payer: Payer, used: u64) -> bool {
        let known = self.holders.iter_mut().find(|it| it.payer == payer);
        let is_new = known.is_none();
        match known {
            Some(holder) => holder.used = used,
            None => self.holders.push(Holder { payer, used }),
        }
        is_new
    }
}

/// What somebody needs room for, which is not in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Who does: it counts as held by this one.
    pub(crate) payer: Payer,
    /// How much, as what is in the table is weighed.
    pub(crate) weight: u64,
}

impl<K: Clone + Eq + Hash, V> SharedTable<K, V> {
    /// Nothing yet; there is room for so many entries, at least one.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            all: HashMap::new(),
            room: room.max(1),
            holds: 0,
            uses: 0,
        }
    }

    /// What is there by a key. The user holds it from now on.
    pub(crate) fn get(&mut self, key: &K, payer: Payer) -> Option<&mut V> {
        self.limit_holds();
        self.uses += 1;
        let entry = self.all.get_mut(key)?;
        self.holds += usize::from(entry.hold(payer, self.uses));
        Some(&mut entry.value)
    }

    /// The same, which is no use of it.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.all.get(key).map(|entry| &entry.value)
    }

    /// Puts something in for a user. What has to go for it is returned.
    pub(crate) fn insert(&mut self, key: K, value: V, payer: Payer) -> Vec<(K, V)> {
        let entry = self.held(value, payer);
        self.put(key, entry)
    }

    /// Takes out what is there by a key. The user holds it from now on.
    pub(crate) fn take(&mut self, key: &K, payer: Payer) -> Option<Entry<V>> {
        let mut entry = self.remove(key)?;
        self.uses += 1;
        entry.hold(payer, self.uses);
        Some(entry)
    }

    /// Something new that a user holds, to be put in later.
    pub(crate) fn held(&mut self, value: V, payer: Payer) -> Entry<V> {
        self.uses += 1;
        let used = self.uses;
        Entry {
            value,
            holders: vec![Holder { payer, used }],
        }
    }

    /// Puts in what was taken out, or is new. Where that is one too many, a sixteenth of the room is made free: to find out
    /// what has to go takes looking at all. That is returned.
    pub(crate) fn put(&mut self, key: K, entry: Entry<V>) -> Vec<(K, V)> {
        self.remove(&key);
        let mut gone = Vec::new();
        if self.all.len() >= self.room {
            let left = self.room - 1 - self.room / 16;
            let need = entry.holders.iter().max_by_key(|it| it.used);
            let need = need.map(|it| Need {
                payer: it.payer,
                weight: 1,
            });
            gone = self.give(need, |_| 1, |weight, _| weight <= left as u64);
        }
        self.holds += entry.holders.len();
        self.all.insert(key, entry);
        gone
    }

    /// Takes out what is there by a key, whoever holds it.
    pub(crate) fn remove(&mut self, key: &K) -> Option<Entry<V>> {
        let entry = self.all.remove(key)?;
        self.holds -= entry.holders.len();
        Some(entry)
    }

    /// Everything, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.all.values().map(|entry| &entry.value)
    }

    /// Has users give what they hold, until what is there weighs no more than `room`.
    pub(crate) fn keep_to(&mut self, room: u64, need: Need, weigh: impl Fn(&V) -> u64) {
        let weight: u64 = self.values().map(&weigh).sum();
        if weight > room {
            self.give(Some(need), weigh, |weight, _| weight <= room);
        }
    }

    /// Has the user who has the most holds give some, where there are too many.
    fn limit_holds(&mut self) {
        let most = self.room * HOLDERS;
        if self.holds > most {
            self.give(None, |_| 1, |_, holds| holds <= most / 8 * 7);
        }
    }

    /// Has users give what they hold, until it is enough by what is left: its weight and its holders. Returns what is no
    /// longer held by anybody.
    fn give(
        &mut self,
        need: Option<Need>,
        weigh: impl Fn(&V) -> u64,
        is_enough: impl Fn(u64, usize) -> bool,
    ) -> Vec<(K, V)> {
        let mut gone = Vec::new();
        let mut weight: u64 = self.values().map(&weigh).sum();
        let mut queue = Queue::of(&self.all, need, &weigh);
        while !is_enough(weight, self.holds) {
            let Some((payer, key)) = queue.next() else {
                break;
            };
            let Some(entry) = self.all.get_mut(&key) else {
                continue;
            };
            entry.holders.retain(|it| it.payer != payer);
            self.holds -= 1;
            if entry.holders.is_empty()
                && let Some(entry) = self.all.remove(&key)
            {
                weight -= weigh(&entry.value);
                gone.push((key, entry.value));
            }
        }
        gone
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

/// In which order holders give.
struct Queue<K> {
    /// What each user holds, the most last.
    weights: BTreeSet<(u64, Payer)>,
    /// What that is, with its weight, what was used longest ago last.
    holds: HashMap<Payer, Vec<(u64, u64, K)>>,
}

impl<K: Clone> Queue<K> {
    fn of<V>(all: &HashMap<K, Entry<V>>, need: Option<Need>, weigh: &impl Fn(&V) -> u64) -> Self {
        let mut weights: HashMap<Payer, u64> = HashMap::new();
        let mut holds: HashMap<Payer, Vec<_>> = HashMap::new();
        if let Some(need) = need {
            weights.insert(need.payer, need.weight);
        }
        for (key, entry) in all {
            let weight = weigh(&entry.value);
            if weight == 0 {
                // Nothing is won by that.
                continue;
            }
            for holder in &entry.holders {
                *weights.entry(holder.payer).or_default() += weight;
                let own = holds.entry(holder.payer).or_default();
                own.push((holder.used, weight, key.clone()));
            }
        }
        for own in holds.values_mut() {
            own.sort_unstable_by_key(|(used, ..)| u64::MAX - used);
        }
        let weights = weights.into_iter().map(|(payer, weight)| (weight, payer));
        Self {
            weights: weights.collect(),
            holds,
        }
    }

    /// Who gives next, and what.
    fn next(&mut self) -> Option<(Payer, K)> {
        loop {
            let (weight, payer) = self.weights.pop_last()?;
            if let Some((_, less, key)) = self.holds.get_mut(&payer).and_then(Vec::pop) {
                self.weights.insert((weight.saturating_sub(less), payer));
                return Some((payer, key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNER: Payer = Payer::User(7);
    const STRANGER: Payer = Payer::User(8);

    fn need(payer: Payer, weight: u64) -> Need {
        Need { payer, weight }
    }

    #[test]
    fn who_holds_the_most_gives_first_and_of_that_what_was_used_longest_ago() {
        let mut table = SharedTable::new(16);
        for key in 0..4 {
            table.insert(key, "owner's", OWNER);
        }
        for key in 100..1000 {
            table.insert(key, "stranger's", STRANGER);
            assert!(table.get(&100, STRANGER).is_some(), "it is used");
        }
        assert!((0..4).all(|key| table.peek(&key).is_some()));
        assert!(table.peek(&999).is_some() && table.peek(&900).is_none());
        assert!(table.len() <= 16);
        // The owner may have half of it, and then gives of its own.
        let gone: Vec<_> = (2000..2200)
            .flat_map(|key| table.insert(key, "owner's", OWNER))
            .collect();
        let of = |whose| table.values().filter(|it| **it == whose).count();
        // A sixteenth more than what is too much is made free.
        assert!(of("owner's") >= 7 && of("stranger's") >= 7);
        assert!(gone.contains(&(0, "owner's")));
    }

    #[test]
    fn what_both_hold_stays_until_both_give_it() {
        let mut table = SharedTable::new(16);
        table.insert(0, (), STRANGER);
        table.get(&0, OWNER);
        for key in 1..1000 {
            table.insert(key, (), STRANGER);
        }
        assert!(table.peek(&0).is_some());
        for key in 1000..2000 {
            table.insert(key, (), OWNER);
        }
        assert!(table.peek(&0).is_none());
    }

    #[test]
    fn a_user_gives_by_weight_for_what_it_needs_itself() {
        let mut table = SharedTable::new(100);
        table.insert(0, 60, OWNER);
        for key in 1..=4 {
            table.insert(key, 10, STRANGER);
        }
        // The stranger holds less, and needs more than that.
        table.keep_to(96, need(STRANGER, 96), |weight| *weight);
        assert!(table.peek(&0).is_some() && table.len() == 4);
        // With next to nothing of its own it is the owner who holds the most.
        table.keep_to(50, need(STRANGER, 1), |weight| *weight);
        assert!(table.peek(&0).is_none() && table.len() == 3);
        table.keep_to(0, need(STRANGER, 1), |weight| *weight);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_is_taken_out_is_nobody_elses_to_give() {
        let mut table = SharedTable::new(2);
        table.insert(0, (), OWNER);
        let entry = table.take(&0, OWNER).expect("it is there");
        table.insert(1, (), STRANGER);
        table.insert(2, (), STRANGER);
        table.put(0, entry);
        assert!(table.peek(&0).is_some() && table.peek(&2).is_some() && table.peek(&1).is_none());
        assert_eq!(table.holds, 2);
    }

    #[test]
    fn holders_are_bounded() {
        let mut table = SharedTable::new(4);
        for key in 0..4 {
            table.insert(key, (), OWNER);
        }
        for user in 100..1000 {
            for key in 0..3 {
                table.get(&key, Payer::User(user));
            }
            assert!(table.holds <= 4 * HOLDERS + 1);
        }
        assert!((0..3).any(|key| table.peek(&key).is_some()));
    }

    proptest! {
        /// It never grows beyond its room, whoever comes, and who holds no more than its share loses nothing.
        #[test]
        fn bounded_and_fair(
            room in 4_usize..40,
            steps in proptest::collection::vec((0_u32..6, 0_u8..60), 0..300),
        ) {
            let mut table = SharedTable::new(room);
            let own = room / 8;
            for key in 0..own {
                table.insert((Payer::Unknown, key), (), Payer::Unknown);
            }
            for (user, key) in steps {
                let payer = Payer::User(user);
                let key = (payer, usize::from(key));
                if table.get(&key, payer).is_none() {
                    table.insert(key, (), payer);
                }
                prop_assert!(table.peek(&key).is_some());
                prop_assert!(table.len() <= room);
                let holds: usize = table.all.values().map(|it| it.holders.len()).sum();
                prop_assert_eq!(holds, table.holds);
                for key in 0..own {
                    prop_assert!(table.peek(&(Payer::Unknown, key)).is_some());
                }
            }
        }
    }
}
