//! One order for what happened on all CPUs.
//!
//! Each ring is in the order of time. When one is read, another one that was read before it may have got
//! something older meanwhile; so only what came before the turn began is in order after it. The rest
//! waits for the next turn. (A record has its time a moment before it is in the ring. Its writer cannot be
//! preempted in between, and goes to no other CPU: `kernel/events/core.c:perf_iterate_sb`, v6.12.)

use super::act::Act;
use crate::event::ids::MonoNanos;

/// What was read and has not happened yet.
#[derive(Debug, Default)]
pub(super) struct Order {
    waiting: Vec<(MonoNanos, Act)>,
}

impl Order {
    /// Adds something of any CPU.
    pub(super) fn put(&mut self, at: MonoNanos, act: Act) {
        self.waiting.push((at, act));
    }

    /// What came before a moment, the oldest first.
    pub(super) fn before(&mut self, now: MonoNanos) -> impl Iterator<Item = (MonoNanos, Act)> + '_ {
        // Stable: one CPU's records of the same time stay as they are.
        self.waiting.sort_by_key(|(at, _)| *at);
        let behind = self.waiting.partition_point(|(at, _)| *at < now);
        self.waiting.drain(..behind)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::ids::Pid;

    fn act(number: u64) -> (MonoNanos, Act) {
        let pid = Pid(u32::try_from(number).expect("few"));
        (MonoNanos(number), Act::Exec { pid })
    }

    proptest! {
        /// However far each ring is written when it is read, everything comes once and in order.
        #[test]
        fn in_order_whenever_the_rings_are_read(
            cpus in proptest::collection::vec(0_usize..4, 0..60),
            turns in proptest::collection::vec((0_u64..20, proptest::array::uniform4(0_u64..6)), 0..12),
        ) {
            let all: Vec<_> = (1_u64..).zip(cpus).collect();
            let mut read = [0_u64; 4];
            let (mut order, mut out, mut now) = (Order::default(), Vec::new(), 0);
            let end = (1000, [0; 4]);
            for (pass, written) in turns.into_iter().chain([end]) {
                now += pass;
                for (cpu, later) in written.into_iter().enumerate() {
                    // What this ring has when it is read, a little after the turn began.
                    let until = (now + later).max(read[cpu]);
                    for &(at, on) in &all {
                        if on == cpu && (read[cpu]..until).contains(&at) {
                            let (at, act) = act(at);
                            order.put(at, act);
                        }
                    }
                    read[cpu] = until;
                }
                out.extend(order.before(MonoNanos(now)));
            }
            prop_assert_eq!(out, all.iter().map(|&(at, _)| act(at)).collect::<Vec<_>>());
        }
    }
}
