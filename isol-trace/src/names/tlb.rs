//! Reasons of TLB flushes, by number.

/// `enum tlb_flush_reason` of `include/linux/mm_types.h`, in the words of
/// `include/trace/events/tlb.h` as 7.x spells them; the last one is newer than 6.12.
const NAMES: [&str; 6] = [
    "flush on task switch",
    "remote shootdown",
    "local shootdown",
    "local MM shootdown",
    "remote IPI send",
    "remote wrong CPU",
];

/// Why the TLB was flushed; `None` for a reason that this version does not know.
#[must_use]
pub fn tlb_flush_reason(number: u32) -> Option<&'static str> {
    NAMES.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_the_kernels_numbers() {
        assert_eq!(tlb_flush_reason(0), Some("flush on task switch"));
        assert_eq!(tlb_flush_reason(1), Some("remote shootdown"));
        assert_eq!(tlb_flush_reason(5), Some("remote wrong CPU"));
        assert_eq!(tlb_flush_reason(6), None);
    }
}
