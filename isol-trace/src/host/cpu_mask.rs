//! Bit masks of CPUs, as some of the kernel's files have them: hexadecimal groups of 32 bits
//! with commas between them, the highest first (`%*pb`, lib/vsprintf.c, 6.12).

use std::fmt::Write as _;

use super::cpu_list::CpuSet;
use crate::event::ids::Cpu;

/// Bits of a group.
const GROUP: u32 = 32;

/// Reads a mask; `None` where the text is none, or names a CPU that no set can hold.
pub(super) fn parse(text: &str) -> Option<CpuSet> {
    let mut cpus = CpuSet::new();
    for (group, digits) in text.trim_ascii().rsplit(',').enumerate() {
        let word = u32::from_str_radix(digits, 16).ok()?;
        let start = u32::try_from(group).ok()?.checked_mul(GROUP)?;
        for bit in (0..GROUP).filter(|bit| word & (1 << bit) != 0) {
            cpus.insert(Cpu(start + bit)).ok()?;
        }
    }
    Some(cpus)
}

/// Writes a set as the mask that such a file takes, without leading groups of zero.
#[must_use]
pub fn text(cpus: &CpuSet) -> String {
    let groups: Vec<u32> = cpus
        .mask()
        .iter()
        .flat_map(|&word| [low_half(word), low_half(word >> GROUP)])
        .collect();
    let mut groups = groups.into_iter().rev().skip_while(|&group| group == 0);
    let mut text = format!("{:x}", groups.next().unwrap_or(0));
    for group in groups {
        // Writing to a string does not fail.
        let _ = write!(text, ",{group:08x}");
    }
    text
}

/// The lower 32 bits of a word.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the other half is a group of its own"
)]
const fn low_half(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    #[test]
    fn masks_read_as_the_kernel_writes_them() {
        let list = |text| parse(text).map(|cpus| cpus.to_string());
        assert_eq!(list("3\n").as_deref(), Some("0-1"));
        assert_eq!(list("ff,00000001").as_deref(), Some("0,32-39"));
        assert_eq!(list("00000000,00000000").as_deref(), Some(""));
        assert_eq!(list(""), None);
        assert_eq!(list("3,"), None);
        assert_eq!(list("1ffffffff"), None);
        assert_eq!(list("all"), None);
    }

    proptest! {
        #[test]
        fn a_mask_reads_back(cpus in btree_set(0_u32..4096, 0..20)) {
            let mut set = CpuSet::new();
            for cpu in cpus {
                set.insert(Cpu(cpu)).unwrap();
            }
            prop_assert_eq!(parse(&text(&set)), Some(set));
        }
    }
}
