//! The checks. Each looks at the facts of one thing and makes at most one finding of it; a fact
//! that does not exist on this kernel makes none, one that cannot be read makes a note.

mod clock;
mod interrupts;
mod isolation;
mod isolcpus;
mod kernel;
mod memory;
mod power;
mod scheduler;
mod tracer;
mod work;

pub(super) use isolcpus::both;

use super::{Facts, Finding};

/// A check.
enum Check {
    /// It says something of every host.
    Always(fn(&Facts) -> Finding),
    /// It says something where there is something to say.
    Where(fn(&Facts) -> Option<Finding>),
}

/// Makes every check.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    [
        isolation::CHECKS,
        isolcpus::CHECKS,
        interrupts::CHECKS,
        work::CHECKS,
        clock::CHECKS,
        memory::CHECKS,
        scheduler::CHECKS,
        power::CHECKS,
        kernel::CHECKS,
        tracer::CHECKS,
    ]
    .iter()
    .flat_map(|checks| checks.iter())
    .filter_map(|check| match check {
        Check::Always(check) => Some(check(facts)),
        Check::Where(check) => check(facts),
    })
    .collect()
}
