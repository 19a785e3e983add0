//! Records wait here until whoever could have led to them is known.
//!
//! Each poll reads the rings one after the other. While one is read, a CPU whose ring was read already may
//! send, and the receiver's record be there at once: before its sender's, which waits for the
//! next poll. But what ended before a poll began had its senders' records written by then, and
//! all of them are read in this poll. So a poll gives out only that, in the order of time: up to its watermark.
//! Where a ring had more than one batch, the watermark is its last record that was read.

use super::ids::MonoNanos;

/// What waits, and how far the current poll has read.
#[derive(Debug)]
pub(super) struct Order<T> {
    waiting: Vec<(MonoNanos, T)>,
    /// Everything that was written before this has been read.
    watermark: MonoNanos,
    /// Of the record that was read last.
    last: MonoNanos,
}

impl<T> Order<T> {
    /// Nothing waits.
    pub(super) const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            watermark: MonoNanos(0),
            last: MonoNanos(0),
        }
    }

    /// A poll of all rings begins.
    pub(super) const fn begin(&mut self, now: MonoNanos) {
        self.watermark = now;
    }

    /// A record was read that was written at this time.
    pub(super) const fn read(&mut self, at: MonoNanos) {
        self.last = at;
    }

    /// There is more in the ring that was read last.
    pub(super) fn more(&mut self) {
        self.watermark = self.watermark.min(self.last);
    }

    /// Puts in what ended at this time.
    pub(super) fn put(&mut self, ended: MonoNanos, item: T) {
        self.read(ended);
        self.waiting.push((ended, item));
    }

    /// Takes out what need not wait any longer.
    pub(super) fn drain_ready(&mut self) -> Vec<T> {
        // Stable, and quick: the records of a ring are in order.
        self.waiting.sort_by_key(|(ended, _)| *ended);
        let ready = self
            .waiting
            .partition_point(|(ended, _)| *ended <= self.watermark);
        self.waiting.drain(..ready).map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a poll at `now` gives out of these records, a slice a ring; `true` where there is more.
    fn poll(order: &mut Order<u64>, now: u64, rings: &[(&[u64], bool)]) -> Vec<u64> {
        order.begin(MonoNanos(now));
        for (records, more) in rings {
            for &at in *records {
                order.put(MonoNanos(at), at);
            }
            if *more {
                order.more();
            }
        }
        order.drain_ready()
    }

    #[test]
    fn what_ended_while_the_rings_were_read_waits_for_the_next_poll() {
        let mut order = Order::new();
        assert_eq!(
            poll(&mut order, 100, &[(&[90, 105], false), (&[80], false)]),
            [80, 90]
        );
        assert_eq!(
            poll(&mut order, 200, &[(&[], false), (&[102], false)]),
            [102, 105]
        );
        assert_eq!(poll(&mut order, 300, &[]), [0; 0]);
    }

    #[test]
    fn nothing_goes_out_that_is_younger_than_what_is_still_unread() {
        let mut order = Order::new();
        let rings: [(&[u64], bool); 2] = [(&[10, 20], true), (&[15, 50], false)];
        assert_eq!(poll(&mut order, 100, &rings), [10, 15, 20]);
        assert_eq!(poll(&mut order, 200, &[(&[30, 60], false)]), [30, 50, 60]);
    }

    #[test]
    fn records_of_one_moment_keep_the_order_of_their_ring() {
        let mut order = Order::new();
        order.begin(MonoNanos(9));
        for item in ["breach", "back"] {
            order.put(MonoNanos(5), item);
        }
        assert_eq!(order.drain_ready(), ["breach", "back"]);
    }
}
