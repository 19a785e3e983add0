//! Sets of CPUs, and the list format in which the kernel and its users write them.
//!
//! `1-3,5` and, as the kernel's `bitmap_parselist` (lib/bitmap-str.c, 6.12) has it,
//! `0-10:2/4`: of each group of four CPUs the first two.

use std::{
    fmt,
    ops::{BitAnd, BitOr, Sub},
    str::FromStr,
};

use isol_trace_common::{MAX_CPUS, config::MASK_WORDS};

use crate::event::ids::Cpu;

/// A set of CPUs, each below [`MAX_CPUS`].
#[derive(Clone, PartialEq, Eq)]
pub struct CpuSet {
    words: Box<[u64; MASK_WORDS]>,
}

/// Why a text is no CPU list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuListError {
    /// Two commas in a row, or one at an end.
    #[error("nothing stands before or after a comma; a list looks like 1-3,5")]
    EmptyEntry,
    /// Something else where a number belongs.
    #[error("'{0}' is not a CPU number; a list looks like 1-3,5")]
    NotANumber(String),
    /// A number that no set can hold.
    #[error("CPU {0} is above {max}, the highest that isol-trace can name", max = MAX_CPUS - 1)]
    TooHigh(String),
    /// The end of a range is below its start.
    #[error("the range {start}-{end} runs backwards")]
    Backwards {
        /// First number.
        start: u32,
        /// Last number.
        end: u32,
    },
    /// A `:used/group` that means nothing.
    #[error("':{0}' after a range has to read ':USED/GROUP', with USED at most GROUP")]
    Group(String),
}

impl CpuSet {
    /// No CPU.
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: Box::new([0; MASK_WORDS]),
        }
    }

    /// Adds a CPU.
    pub fn insert(&mut self, cpu: Cpu) -> Result<(), CpuListError> {
        let slot = self
            .words
            .get_mut(word(cpu))
            .ok_or_else(|| CpuListError::TooHigh(cpu.to_string()))?;
        *slot |= bit(cpu);
        Ok(())
    }

    /// The set with its noun: `CPU 1`, or `CPUs 1-3`.
    #[must_use]
    pub fn in_words(&self) -> String {
        in_words(&self.to_string())
    }

    /// The word that goes with [`Self::in_words`]: of one CPU, or of several.
    #[must_use]
    pub fn of_one<'a>(&self, one: &'a str, several: &'a str) -> &'a str {
        if self.len() == 1 { one } else { several }
    }

    /// Whether a CPU is in the set.
    #[must_use]
    pub fn contains(&self, cpu: Cpu) -> bool {
        self.words
            .get(word(cpu))
            .is_some_and(|slot| slot & bit(cpu) != 0)
    }

    /// No CPU is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&slot| slot == 0)
    }

    /// How many CPUs are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The lowest.
    #[must_use]
    pub fn first(&self) -> Option<Cpu> {
        self.iter().next()
    }

    /// Every CPU of the set, upwards.
    pub fn iter(&self) -> impl Iterator<Item = Cpu> + '_ {
        (0..MAX_CPUS).map(Cpu).filter(|&cpu| self.contains(cpu))
    }

    /// The set as the bit mask that the kernel and the programs take: CPU `n` is bit
    /// `n % 64` of word `n / 64`.
    #[must_use]
    pub fn mask(&self) -> &[u64; MASK_WORDS] {
        &self.words
    }

    /// The set that a bit mask stands for; see [`CpuSet::mask`].
    #[must_use]
    pub fn from_mask(mask: [u64; MASK_WORDS]) -> Self {
        Self {
            words: Box::new(mask),
        }
    }

    /// Combines two sets word by word.
    fn combine(&self, other: &Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.words.clone();
        for (slot, &theirs) in words.iter_mut().zip(other.words.iter()) {
            *slot = op(*slot, theirs);
        }
        Self { words }
    }
}

/// The word of the mask that holds a CPU.
const fn word(cpu: Cpu) -> usize {
    (cpu.0 / u64::BITS) as usize
}

/// A CPU's bit in its word.
const fn bit(cpu: Cpu) -> u64 {
    1 << (cpu.0 % u64::BITS)
}

impl Default for CpuSet {
    fn default() -> Self {
        Self::new()
    }
}

impl BitOr for &CpuSet {
    type Output = CpuSet;

    fn bitor(self, other: Self) -> CpuSet {
        self.combine(other, |ours, theirs| ours | theirs)
    }
}

impl BitAnd for &CpuSet {
    type Output = CpuSet;

    fn bitand(self, other: Self) -> CpuSet {
        self.combine(other, |ours, theirs| ours & theirs)
    }
}

impl Sub for &CpuSet {
    type Output = CpuSet;

    fn sub(self, other: Self) -> CpuSet {
        self.combine(other, |ours, theirs| ours & !theirs)
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

impl fmt::Display for CpuSet {
    /// Writes the list as the kernel does; nothing at all for an empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(start) = cpus.next() {
            let mut end = start;
            while let Some(next) = cpus.next_if(|next| next.0 == end.0 + 1) {
                end = next;
            }
            write!(f, "{comma}{start}")?;
            if end > start {
                write!(f, "-{end}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

/// A list of CPUs with its noun: `CPU 1`, or `CPUs 1-3`.
#[must_use]
pub fn in_words(list: &str) -> String {
    let plural = if list.contains(['-', ',']) { "s" } else { "" };
    format!("CPU{plural} {list}")
}

impl FromStr for CpuSet {
    type Err = CpuListError;

    /// Reads a list; a blank text is the empty set, as the kernel's files write it.
    fn from_str(text: &str) -> Result<Self, CpuListError> {
        let mut set = Self::new();
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(set);
        }
        for entry in text.split(',') {
            set.add_entry(entry)?;
        }
        Ok(set)
    }
}

impl CpuSet {
    /// Adds what one entry between commas names.
    fn add_entry(&mut self, entry: &str) -> Result<(), CpuListError> {
        if entry.is_empty() {
            return Err(CpuListError::EmptyEntry);
        }
        let (range, group) = match entry.split_once(':') {
            Some((range, group)) => (range, Some(group)),
            None => (entry, None),
        };
        let Some((start, end)) = range.split_once('-') else {
            // The kernel, too, takes a group only after a range.
            if let Some(group) = group {
                return Err(CpuListError::Group(group.to_owned()));
            }
            return self.insert(number(range)?);
        };
        let (start, end) = (number(start)?.0, number(end)?.0);
        if start > end {
            return Err(CpuListError::Backwards { start, end });
        }
        let (used, group) = group.map_or(Ok((1, 1)), used_of_group)?;
        for cpu in (start..=end).filter(|cpu| (cpu - start) % group < used) {
            self.insert(Cpu(cpu))?;
        }
        Ok(())
    }
}

/// A CPU number in plain digits.
fn number(text: &str) -> Result<Cpu, CpuListError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CpuListError::NotANumber(text.to_owned()));
    }
    text.parse()
        .ok()
        .filter(|&cpu| cpu < MAX_CPUS)
        .map(Cpu)
        .ok_or_else(|| CpuListError::TooHigh(text.to_owned()))
}

/// `used/group`, where `group` is not 0 and holds `used`.
fn used_of_group(text: &str) -> Result<(u32, u32), CpuListError> {
    let malformed = || CpuListError::Group(text.to_owned());
    let (used, group) = text.split_once('/').ok_or_else(malformed)?;
    let part = |text| number(text).map(|Cpu(value)| value);
    match (part(used), part(group)) {
        (Ok(used), Ok(group)) if group > 0 && used <= group => Ok((used, group)),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    fn set(text: &str) -> CpuSet {
        text.parse().unwrap()
    }

    fn numbers(text: &str) -> Vec<u32> {
        set(text).iter().map(|cpu| cpu.0).collect()
    }

    #[test]
    fn lists_read_as_the_kernel_reads_them() {
        assert_eq!(numbers("1-3,5"), [1, 2, 3, 5]);
        assert_eq!(numbers("0-10:2/4"), [0, 1, 4, 5, 8, 9]);
        assert_eq!(numbers("5,1,1-2"), [1, 2, 5]);
        assert_eq!(numbers("7-7"), [7]);
        assert_eq!(numbers("4095\n"), [4095]);
        assert!(set("").is_empty());
        assert!(set("\n").is_empty());
        assert!(set("0-3:0/2").is_empty());
    }

    #[test]
    fn malformed_lists_say_what_is_wrong() {
        let error = |text: &str| text.parse::<CpuSet>().unwrap_err();
        assert_eq!(error("1,,2"), CpuListError::EmptyEntry);
        assert_eq!(error("1,"), CpuListError::EmptyEntry);
        assert_eq!(error("two"), CpuListError::NotANumber("two".to_owned()));
        assert_eq!(error("-1"), CpuListError::NotANumber(String::new()));
        assert_eq!(error("1-"), CpuListError::NotANumber(String::new()));
        assert_eq!(error("+1"), CpuListError::NotANumber("+1".to_owned()));
        assert_eq!(error("1 2"), CpuListError::NotANumber("1 2".to_owned()));
        assert_eq!(error("1-2-3"), CpuListError::NotANumber("2-3".to_owned()));
        assert_eq!(error("4096"), CpuListError::TooHigh("4096".to_owned()));
        assert_eq!(
            error("0-99999999999999999999"),
            CpuListError::TooHigh("99999999999999999999".to_owned())
        );
        assert_eq!(error("3-1"), CpuListError::Backwards { start: 3, end: 1 });
        for group in ["", "1", "1/0", "3/2", "x/2", "1/2/3"] {
            assert_eq!(
                error(&format!("0-3:{group}")),
                CpuListError::Group(group.to_owned())
            );
        }
        assert_eq!(error("3:1/2"), CpuListError::Group("1/2".to_owned()));
    }

    #[test]
    fn a_set_refuses_what_it_cannot_hold() {
        let mut cpus = CpuSet::new();
        assert!(cpus.insert(Cpu(4096)).is_err());
        assert!(!cpus.contains(Cpu(4096)));
        assert!(cpus.is_empty());
        assert_eq!(cpus.first(), None);
    }

    #[test]
    fn the_mask_has_one_bit_a_cpu() {
        let cpus = set("0,63-64,4095");
        assert_eq!(cpus.mask()[0], 1 | 1 << 63);
        assert_eq!(cpus.mask()[1], 1);
        assert_eq!(cpus.mask()[MASK_WORDS - 1], 1 << 63);
        assert_eq!(CpuSet::from_mask(*cpus.mask()), cpus);
        assert_eq!(cpus.len(), 4);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(cpus in btree_set(0..MAX_CPUS, 0..60)) {
            let mut written = CpuSet::new();
            for &cpu in &cpus {
                written.insert(Cpu(cpu)).unwrap();
            }
            let read = set(&written.to_string());
            prop_assert!(read.iter().map(|cpu| cpu.0).eq(cpus.iter().copied()));
            prop_assert_eq!(read, written);
        }

        #[test]
        fn operations_are_those_of_sets(
            left in btree_set(0..MAX_CPUS, 0..40),
            right in btree_set(0..MAX_CPUS, 0..40),
        ) {
            let make = |cpus: &std::collections::BTreeSet<u32>| {
                let mut made = CpuSet::new();
                for &cpu in cpus {
                    made.insert(Cpu(cpu)).unwrap();
                }
                made
            };
            let (a, b) = (make(&left), make(&right));
            prop_assert_eq!(&a | &b, make(&(&left | &right)));
            prop_assert_eq!(&a & &b, make(&(&left & &right)));
            prop_assert_eq!(&a - &b, make(&(&left - &right)));
        }

        #[test]
        fn a_group_takes_the_first_of_each(
            start in 0_u32..200, more in 0_u32..200, group in 1_u32..20, used in 0_u32..20,
        ) {
            prop_assume!(used <= group);
            let end = start + more;
            let expected: Vec<u32> =
                (start..=end).filter(|cpu| (cpu - start) % group < used).collect();
            prop_assert_eq!(numbers(&format!("{start}-{end}:{used}/{group}")), expected);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<CpuSet>();
        }

        #[test]
        fn near_lists_do_not_panic(text in "[0-9,:/ -]{0,24}") {
            if let Ok(cpus) = text.parse::<CpuSet>() {
                prop_assert_eq!(set(&cpus.to_string()), cpus);
            }
        }
    }
}
