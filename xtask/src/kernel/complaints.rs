//! What a kernel must not say in its log or while it is built: that one of its own checks has found
//! something.

/// How such a line is known.
const COMPLAINTS: [&str; 5] = [
    "WARNING:",
    "BUG:",
    "INFO: possible",
    "INFO: trying to register",
    "warning:",
];

/// Complaints of stock kernels with the same configuration: words of the line, and what they are.
const STOCK: [(&str, &str); 1] = [(
    "kernel/sched/deadline.c:",
    "the tests take the fair server's runtime from isolated CPUs, and 6.12 miscounts its bandwidth then: so \
     does Debian's 6.12.117 after `echo 0 > /sys/kernel/debug/sched/fair_server/cpu1/runtime`",
)];

/// The complaints among these lines that are not a stock kernel's.
pub(super) fn complaints(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| COMPLAINTS.iter().any(|words| line.contains(words)))
        .filter(|line| !STOCK.iter().any(|(words, _why)| line.contains(words)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_found_something_is_a_complaint() {
        let text = "[    1.0] WARNING: CPU: 1 PID: 9 at kernel/sched/deadline.c:292 x+0x1/0x2\n\
                    [    1.1] WARNING: possible circular locking dependency detected\n\
                    vmlinux.o: warning: objtool: irqentry_enter+0x1: call to x() leaves .noinstr.text\n\
                    [    1.2] Warning: nothing of ours\n\
                    [    1.3] BUG: sleeping function called from invalid context\n";
        let found = complaints(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("circular"));
    }
}
