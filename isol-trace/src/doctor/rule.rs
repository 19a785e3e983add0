//! The rules that findings name: what a breach will carry that the finding causes.

/// The clock is checked on each CPU in turn.
pub(super) const CLOCKSOURCE_WATCHDOG: &str = "clocksource-watchdog";
/// The TSC's adjustment is checked on each CPU in turn.
pub(super) const TSC_ADJUST_CHECK: &str = "tsc-adjust-check";
/// The tick goes on because the clock is not stable.
pub(super) const TICK_CLOCK_UNSTABLE: &str = "tick-clock-unstable";
/// The tick goes on.
pub(super) const RESIDUAL_TICK: &str = "residual-tick";
/// Another task runs on the CPU.
pub(super) const SECOND_TASK: &str = "second-task";
/// The kernel dropped `isolcpus=`.
pub(super) const ISOLCPUS_DROPPED: &str = "isolcpus-dropped";
/// RCU callbacks run on the CPU.
pub(super) const RCU_CALLBACKS: &str = "rcu-callbacks";
/// A device interrupts the CPU.
pub(super) const DEVICE_IRQ: &str = "device-irq";
/// A device whose interrupts the kernel manages does.
pub(super) const MANAGED_IRQ: &str = "managed-irq";
/// Work that any CPU could do is done there.
pub(super) const UNBOUND_WORKQUEUE: &str = "unbound-workqueue";
/// The CPU's counters are folded there.
pub(super) const VMSTAT: &str = "vmstat";
/// The soft lockup watchdog's timer.
pub(super) const SOFT_LOCKUP_WATCHDOG: &str = "soft-lockup-watchdog";
/// The NMI of a performance counter, as the NMI watchdog has one.
pub(super) const NMI_PERF_COUNTER: &str = "nmi-perf-counter";
/// The poll for machine checks.
pub(super) const MCE_POLLING: &str = "mce-polling";
/// A timer that could have moved.
pub(super) const TIMER_MIGRATION: &str = "timer-migration";
/// khugepaged flushes the TLB.
pub(super) const THP_COLLAPSE: &str = "tlb-thp-collapse";
/// KSM flushes the TLB.
pub(super) const KSM: &str = "tlb-ksm";
/// NUMA balancing flushes the TLB.
pub(super) const NUMA_BALANCING: &str = "tlb-numa-balancing";
/// The CPU's frequency is read or set.
pub(super) const CPUFREQ: &str = "cpufreq";
/// The fair server kicks the CPU.
pub(super) const FAIR_SERVER: &str = "fair-server";
/// The task touches memory that is not there.
pub(super) const FIRST_TOUCH: &str = "first-touch";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remedy::Rules;

    /// Whoever reads a finding looks its rule up in the table of remedies.
    #[test]
    fn every_rule_is_in_the_table() {
        let rules = Rules::embedded().unwrap();
        for id in [
            CLOCKSOURCE_WATCHDOG,
            TSC_ADJUST_CHECK,
            TICK_CLOCK_UNSTABLE,
            RESIDUAL_TICK,
            SECOND_TASK,
            ISOLCPUS_DROPPED,
            RCU_CALLBACKS,
            DEVICE_IRQ,
            MANAGED_IRQ,
            UNBOUND_WORKQUEUE,
            VMSTAT,
            SOFT_LOCKUP_WATCHDOG,
            NMI_PERF_COUNTER,
            MCE_POLLING,
            TIMER_MIGRATION,
            THP_COLLAPSE,
            KSM,
            NUMA_BALANCING,
            CPUFREQ,
            FAIR_SERVER,
            FIRST_TOUCH,
        ] {
            assert!(
                rules.all().iter().any(|rule| rule.id.as_str() == id),
                "{id}"
            );
        }
    }
}
