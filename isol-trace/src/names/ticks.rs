//! What keeps the tick running, by the bits of its dependency mask, and which timer functions are the tick.

/// `enum tick_dep_bits` of `include/linux/tick.h`, bit 0 first, in the words of
/// the `tick_stop` tracepoint (`include/trace/events/timer.h`); 6.1 to 7.3.
const NAMES: [&str; 6] = [
    "POSIX_TIMER",
    "PERF_EVENTS",
    "SCHED",
    "CLOCK_UNSTABLE",
    "RCU",
    "RCU_EXP",
];

/// Names the dependencies in a mask, joined by `|`; `None` for an empty mask. A
/// bit that this version does not know is shown as a number.
#[must_use]
pub fn tick_dependencies(mask: u32) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = mask;
    for (bit, name) in NAMES.iter().enumerate() {
        if rest & (1 << bit) != 0 {
            rest &= !(1 << bit);
            words.push((*name).to_owned());
        }
    }
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    (!words.is_empty()).then(|| words.join("|"))
}

/// Whether a high-resolution timer's function is the scheduler's tick.
///
/// `kernel/time/tick-sched.c`: `tick_sched_timer` until 6.8; one `tick_nohz_handler`
/// since 6.9 ("tick/nohz: Remove duplicate between lowres and highres handlers").
#[must_use]
pub fn is_tick(function: &str) -> bool {
    matches!(
        function,
        "tick_sched_timer" | "tick_nohz_highres_handler" | "tick_nohz_handler"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_spelled_bit_by_bit() {
        assert_eq!(tick_dependencies(0), None);
        assert_eq!(tick_dependencies(1).as_deref(), Some("POSIX_TIMER"));
        assert_eq!(tick_dependencies(1 << 2).as_deref(), Some("SCHED"));
        assert_eq!(
            tick_dependencies(0b11_0100).as_deref(),
            Some("SCHED|RCU|RCU_EXP")
        );
        assert_eq!(tick_dependencies(0x41).as_deref(), Some("POSIX_TIMER|0x40"));
    }

    #[test]
    fn the_tick_is_known_on_every_kernel() {
        assert!(is_tick("tick_sched_timer"));
        assert!(is_tick("tick_nohz_handler"));
        assert!(!is_tick("hrtimer_wakeup"));
    }
}
