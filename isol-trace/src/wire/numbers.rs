//! Numbers that the log gives by their names alone, each looked up in the table that named it.

use crate::{
    event::model::{Activity, Cause},
    names::{softirqs::softirq_name, ticks::tick_dependencies, tlb::tlb_flush_reason},
};

/// More than any of the tables has.
const LIMIT: u32 = 1 << 6;

/// The number of an activity that has this name; 0 for those that have no number of their own.
pub(super) fn of(kind: Activity, name: Option<&str>) -> u32 {
    let Some(name) = name else {
        return 0;
    };
    match kind {
        Activity::Vector => Cause::from_word(name).map_or(0, |cause| cause as u32),
        Activity::Softirq => search(|number| softirq_name(number) == Some(name)),
        Activity::TlbFlush => search(|number| tlb_flush_reason(number) == Some(name)),
        Activity::Tick => search(|mask| tick_dependencies(mask).as_deref() == Some(name)),
        _ => 0,
    }
}

fn search(is_it: impl Fn(u32) -> bool) -> u32 {
    (0..LIMIT).find(|&number| is_it(number)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_numbers() {
        let vector = of(Activity::Vector, Some("local_timer"));
        assert_eq!(vector, Cause::LocalTimer as u32);
        assert_eq!(of(Activity::Softirq, Some("RCU")), 9);
        assert_eq!(of(Activity::TlbFlush, Some("remote shootdown")), 1);
        assert_eq!(of(Activity::Tick, Some("SCHED|RCU")), 0b1_0100);
        assert_eq!(of(Activity::Tick, Some("tick_nohz_handler")), 0);
        assert_eq!(of(Activity::Timer, Some("mce_timer_fn")), 0);
        assert_eq!(of(Activity::Softirq, None), 0);
    }
}
