//! How the entries of a CPU are found.

use super::cpu_list::CpuSet;
use crate::event::{ids::Cpu, model::Detection};

/// The detection of one CPU.
///
/// The kernel marks entries with `user_exit` and `user_enter` only on CPUs that it tracks:
/// those of `nohz_full=` (`context_tracking.active`, `kernel/context_tracking.c`, 6.12), and
/// only where it was built with `CONFIG_CONTEXT_TRACKING_USER`, that is, where the
/// tracepoint `user_exit` exists. Everywhere else entries are derived from their causes.
#[must_use]
pub fn detection(cpu: Cpu, nohz_full: &CpuSet, has_user_exit: bool) -> Detection {
    if has_user_exit && nohz_full.contains(cpu) {
        Detection::ContextTracking
    } else {
        Detection::Vectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_marks_are_used_exactly_where_they_are() {
        let nohz_full: CpuSet = "1-2".parse().unwrap();
        assert_eq!(
            detection(Cpu(1), &nohz_full, true),
            Detection::ContextTracking
        );
        assert_eq!(detection(Cpu(1), &nohz_full, false), Detection::Vectors);
        assert_eq!(detection(Cpu(3), &nohz_full, true), Detection::Vectors);
    }
}
