//! Names of softirqs, by number.

/// The enum with `NR_SOFTIRQS` in `include/linux/interrupt.h` (6.1 to 6.18 the same), spelled as `/proc/softirqs` does.
const NAMES: [&str; 10] = [
    "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU",
];

/// The name of a softirq; `None` for a number that the kernel does not define.
#[must_use]
pub fn softirq_name(number: u32) -> Option<&'static str> {
    NAMES.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The running kernel lists its own, in order.
    #[test]
    fn names_are_those_of_this_kernel() {
        let table = std::fs::read_to_string("/proc/softirqs").expect("every Linux lists softirqs");
        let names: Vec<_> = table
            .lines()
            .skip(1)
            .filter_map(|line| line.split(':').next())
            .map(str::trim)
            .collect();
        assert!(names.len() >= NAMES.len());
        for (number, name) in names.into_iter().enumerate() {
            let number = u32::try_from(number).expect("a few");
            assert_eq!(softirq_name(number), Some(name));
        }
        assert_eq!(softirq_name(10), None);
    }
}
