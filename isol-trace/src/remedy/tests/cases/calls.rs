//! Other cross-calls.

use super::{
    super::build::{call, calls, device, irq_work, resched, timer},
    Case, case,
};
use crate::event::model::{Activity, Breach};

/// What the contract shows: somebody patched, and the stack does not say why.
fn contract_call() -> Breach {
    calls().asked("do_sync_core", &[])
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "membarrier",
            calls().did(Activity::Csd, "ipi_mb"),
            calls().did(Activity::Csd, "ipi_migrate"),
            Some("cross-call"),
        ),
        case(
            "tracing-attach",
            calls().did(Activity::Csd, "do_sync_core").asked(
                "do_sync_core",
                &[
                    "smp_text_poke_batch_finish",
                    "arch_ftrace_update_code",
                    "ftrace_startup",
                ],
            ),
            call().did(Activity::Csd, "rcu_exp_handler").asked(
                "rcu_exp_handler",
                &["synchronize_rcu_expedited", "ftrace_shutdown"],
            ),
            Some("rcu-expedited"),
        ),
        case(
            "module-load",
            calls().did(Activity::Csd, "do_sync_core").asked(
                "do_sync_core",
                &["text_poke_bp_batch", "load_module", "__do_sys_finit_module"],
            ),
            calls().asked("do_kernel_range_flush", &["vfree", "bpf_prog_load"]),
            Some("tlb-kernel"),
        ),
        case(
            "jump-label",
            calls().did(Activity::Csd, "do_sync_core").asked(
                "do_sync_core",
                &[
                    "text_poke_bp_batch",
                    "jump_label_update",
                    "static_key_enable_cpuslocked",
                    "perf_event_alloc",
                    "__x64_sys_perf_event_open",
                ],
            ),
            calls().did(Activity::Csd, "do_sync_core").asked(
                "do_sync_core",
                &[
                    "text_poke_bp_batch",
                    "tracepoint_add_func",
                    "static_key_slow_inc",
                ],
            ),
            Some("tracing-attach"),
        ),
        case(
            "text-patching",
            contract_call(),
            calls().did(Activity::Csd, "ipi_sync_core"),
            Some("membarrier"),
        ),
        case(
            "rcu-expedited",
            call().did(Activity::Csd, "rcu_exp_handler"),
            call().did(Activity::Csd, "rcu_barrier_handler"),
            Some("rcu-barrier"),
        ),
        case(
            "rcu-barrier",
            call().did(Activity::Csd, "rcu_barrier_handler"),
            call().did(Activity::Csd, "rcu_exp_handler"),
            Some("rcu-expedited"),
        ),
        case(
            "cpufreq",
            call().did(Activity::Csd, "do_drv_read [acpi_cpufreq]"),
            call().did(Activity::Csd, "__rdmsr_on_cpu"),
            Some("msr-access"),
        ),
        case(
            "cpufreq",
            call().did(Activity::Csd, "__rdmsr_safe_on_cpu").asked(
                "__rdmsr_safe_on_cpu",
                &["cppc_get_perf_ctrs", "cpufreq_verify_current_freq"],
            ),
            call().did(Activity::Csd, "__rdmsr_safe_on_cpu").asked(
                "__rdmsr_safe_on_cpu",
                &["rdmsr_safe_on_cpu", "msr_read", "vfs_read"],
            ),
            Some("msr-access"),
        ),
        case(
            "msr-access",
            call().did(Activity::Csd, "__rdmsr_safe_on_cpu"),
            call().did(Activity::Csd, "remote_function"),
            Some("perf-event"),
        ),
        case(
            "perf-event",
            call().did(Activity::Csd, "remote_function"),
            call().did(Activity::Csd, "remote_tick"),
            Some("cross-call"),
        ),
        case(
            "perf-event",
            timer().did(Activity::Hrtimer, "perf_mux_hrtimer_handler"),
            timer().did(Activity::Hrtimer, "timerfd_tmrproc"),
            Some("own-timer"),
        ),
        case(
            "perf-event",
            irq_work().did(Activity::IrqWork, "perf_pending_disable"),
            irq_work().did(Activity::IrqWork, "wake_up_klogd_work_func"),
            Some("printk"),
        ),
        case(
            "trace-reader",
            irq_work().did(Activity::IrqWork, "rb_wake_up_waiters"),
            irq_work().did(Activity::IrqWork, "wake_up_klogd_work_func"),
            Some("printk"),
        ),
        case(
            "printk",
            irq_work().did(Activity::IrqWork, "wake_up_klogd_work_func"),
            irq_work().did(Activity::IrqWork, "bpf_ringbuf_notify"),
            Some("trace-reader"),
        ),
        case(
            "bh-lru",
            calls().did(Activity::Csd, "invalidate_bh_lru"),
            calls().did(Activity::Work, "invalidate_bh_lru"),
            Some("bound-kworker"),
        ),
        case(
            "block-completion",
            call()
                .did(Activity::Csd, "__blk_mq_complete_request_remote")
                .did(Activity::Softirq, "BLOCK"),
            device("nvme0q2", "nvme_irq [nvme]").did(Activity::Softirq, "BLOCK"),
            Some("managed-irq"),
        ),
        case(
            "net-rps",
            call()
                .did(Activity::Csd, "rps_trigger_softirq")
                .did(Activity::Softirq, "NET_RX"),
            call().did(Activity::Softirq, "NET_RX"),
            Some("net-softirq"),
        ),
        case("cross-call", call(), resched(), Some("reschedule")),
        case(
            "nohz-kick",
            call().asked("nohz_full_kick_func", &[]),
            call().asked("sched_ttwu_pending", &[]),
            Some("cross-call"),
        ),
        case(
            "nohz-kick",
            irq_work().did(Activity::IrqWork, "nohz_full_kick_func"),
            irq_work().did(Activity::IrqWork, "rcu_preempt_deferred_qs_handler"),
            None,
        ),
    ]
}
