//! How often something may be done that costs others: so many times at once, and so often after that.

use std::time::{Duration, Instant};

/// So many at once, and one more each time that so much time has passed.
#[derive(Debug)]
pub(super) struct Limit {
    /// How many at once.
    burst: u32,
    /// After how long there is one more.
    refill: Duration,
    left: u32,
    since: Instant,
}

impl Limit {
    /// None was done yet.
    pub(super) const fn new(burst: u32, refill: Duration, now: Instant) -> Self {
        Self {
            burst,
            refill,
            left: burst,
            since: now,
        }
    }

    /// Whether it may be done now, which is counted then.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.since);
        let refill = self.refill.as_nanos().max(1);
        let more = u32::try_from(passed.as_nanos() / refill).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.burst);
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let (burst, refill) = (32, Duration::from_millis(10));
        let start = Instant::now();
        let mut limit = Limit::new(burst, refill, start);
        let allowed = |limit: &mut Limit, now| (0..1000).filter(|_| limit.allows(now)).count();
        assert_eq!(allowed(&mut limit, start), 32);
        let later = start + 5 * refill;
        assert_eq!(allowed(&mut limit, later), 5);
        assert_eq!(allowed(&mut limit, later + refill / 2), 0);
        assert_eq!(allowed(&mut limit, later + Duration::from_hours(1)), 32);
    }
}
