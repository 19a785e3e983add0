//! What the kernel did inside an entry before it returned.

use crate::cause::words;

words! {
    /// What kind of work the kernel did inside an entry.
    Activity {
        /// A device's interrupt handler.
        Irq = 1, "irq";
        /// A vector of the local APIC.
        Vector = 2, "vector";
        /// A page fault taken inside the kernel.
        Fault = 3, "fault";
        /// An NMI that hit inside the entry.
        Nmi = 4, "nmi";
        /// A softirq.
        Softirq = 5, "softirq";
        /// A timer function.
        Timer = 6, "timer";
        /// A high-resolution timer function.
        Hrtimer = 7, "hrtimer";
        /// A work item.
        Work = 8, "work";
        /// An `irq_work` function.
        IrqWork = 9, "irq_work";
        /// A cross-call function.
        Csd = 10, "csd";
        /// The scheduler's tick.
        Tick = 11, "tick";
        /// Another task ran on the CPU.
        Switch = 12, "switch";
        /// A signal was delivered.
        Signal = 13, "signal";
        /// A TLB flush.
        TlbFlush = 14, "tlb_flush";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_lead_back_to_their_activity() {
        for &activity in Activity::ALL {
            assert_eq!(Activity::from_wire(activity as u8), Some(activity));
            assert_eq!(Activity::from_word(activity.word()), Some(activity));
        }
        assert_eq!(
            Activity::ALL.len(),
            14,
            "the contract's list has fourteen activities"
        );
        assert_eq!(Activity::from_wire(0), None, "0 marks an empty slot");
    }
}
