//! Devices, and what takes the place of the task.

use super::{
    super::build::{call, device, exception, resched, syscall, timer},
    Case, case,
};
use crate::event::model::Activity;

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "managed-irq",
            device("nvme0q2", "nvme_irq [nvme]"),
            device("virtio1-input.0", "vring_interrupt [virtio_ring]"),
            Some("device-irq"),
        ),
        case(
            "device-irq",
            device("eth0-rx-1", "mlx5_irq_int_handler [mlx5_core]").switched("ksoftirqd/1"),
            resched().switched("ksoftirqd/1"),
            Some("ksoftirqd"),
        ),
        case(
            "vmstat",
            resched()
                .switched("kworker/1:1")
                .did(Activity::Work, "vmstat_update"),
            resched()
                .switched("kworker/1:1")
                .did(Activity::Work, "vmpressure_work_fn"),
            Some("bound-kworker"),
        ),
        case(
            "vmstat",
            resched().woken(&["insert_work", "queue_delayed_work_on", "vmstat_shepherd"]),
            resched().woken(&["insert_work", "queue_delayed_work_on"]),
            Some("reschedule"),
        ),
        case(
            "lru-drain",
            resched()
                .switched("kworker/1:1")
                .did(Activity::Work, "lru_add_drain_per_cpu"),
            resched()
                .switched("kworker/1:1")
                .did(Activity::Work, "flush_backlog"),
            Some("net-flush-backlog"),
        ),
        case(
            "memcg-drain",
            resched()
                .switched("kworker/1:1")
                .did(Activity::Work, "drain_local_memcg_stock"),
            resched().switched("kworker/1:1"),
            Some("bound-kworker"),
        ),
        case(
            "trace-buffer-resize",
            resched().did(Activity::Work, "update_pages_handler"),
            call().did(Activity::Csd, "update_pages_handler"),
            Some("cross-call"),
        ),
        case(
            "net-flush-backlog",
            resched().did(Activity::Work, "flush_backlog"),
            resched().did(Activity::Work, "flush_to_ldisc"),
            Some("bound-kworker"),
        ),
        case(
            "stop-machine",
            resched()
                .switched("migration/1")
                .woken(&["stop_machine_cpuslocked", "stop_machine"]),
            resched().switched("migration/1"),
            Some("task-moved"),
        ),
        case(
            "task-moved",
            resched().switched("migration/1").woken(&[
                "affine_move_task",
                "__set_cpus_allowed_ptr",
                "sched_setaffinity",
            ]),
            resched().switched("migrate_all"),
            Some("second-task"),
        ),
        case(
            "rcu-callbacks",
            resched().switched("rcuop/1"),
            resched().switched("rcu_preempt"),
            Some("kernel-thread"),
        ),
        case(
            "threaded-irq",
            resched().switched("irq/34-nvme0q2"),
            resched().switched("irqbalance"),
            Some("second-task"),
        ),
        case(
            "unbound-workqueue",
            resched()
                .switched("kworker/u8:1")
                .did(Activity::Switch, "kworker/u8:1"),
            resched().switched("kworker/1:1H"),
            Some("bound-kworker"),
        ),
        case(
            "bound-kworker",
            resched()
                .switched("kworker/1:1")
                .did(Activity::Work, "blk_mq_run_work_fn"),
            resched().switched("kworker/u8:1"),
            Some("unbound-workqueue"),
        ),
        case(
            "ksoftirqd",
            timer().switched("ksoftirqd/1"),
            timer().switched("ksmd"),
            Some("kernel-thread"),
        ),
        case(
            "kernel-thread",
            resched().switched("khugepaged"),
            resched().switched("khuge"),
            Some("second-task"),
        ),
        case(
            "second-task",
            resched().switched("logger"),
            resched(),
            Some("reschedule"),
        ),
        case("reschedule", resched(), call(), Some("cross-call")),
        case(
            "signal",
            resched().did(Activity::Signal, "SIGUSR1"),
            exception("general_protection").did(Activity::Signal, "SIGSEGV"),
            Some("exception"),
        ),
        case(
            "signal",
            syscall("rt_sigreturn"),
            syscall("rt_sigaction"),
            Some("syscall-signal"),
        ),
    ]
}
