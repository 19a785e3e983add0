//! Kicks and calls that are judged by their whole stack, and what each CPU is asked for.

use super::{
    super::build::{call, calls, device, fault, irq_work, resched, syscall, timer},
    Case, case,
};
use crate::event::model::{Activity, Breach, End};

/// A page that was waited for, as a guest of 6.12 recorded it: the CPU slept until another one called it.
fn filled(stack: &[&str]) -> Breach {
    fault("write", false, 0x7f00_0000_1000)
        .did(Activity::Vector, "call_function_single")
        .did(Activity::Csd, "sched_ttwu_pending")
        .by(stack)
        .ended(End::Blocked)
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "cpu-time-read",
            resched().woken(&[
                "resched_curr",
                "update_curr",
                "task_sched_runtime",
                "thread_group_cputime",
                "do_task_stat",
                "proc_tgid_stat",
            ]),
            resched().woken(&["resched_curr", "ttwu_do_activate", "try_to_wake_up"]),
            Some("reschedule"),
        ),
        case(
            "mm-change",
            call().did(Activity::Csd, "flush_ldt"),
            call().did(Activity::Csd, "flush_smp_call_function_queue"),
            Some("cross-call"),
        ),
        case(
            "cpu-settings",
            calls().asked("mce_cpu_restart", &["on_each_cpu", "mce_restart"]),
            calls().asked("ack_kick", &["kvm_kick_many_cpus"]),
            Some("cross-call"),
        ),
        case(
            "rcu-kick",
            resched().woken(&[
                "resched_curr",
                "resched_cpu",
                "force_qs_rnp",
                "rcu_gp_fqs_loop",
            ]),
            resched().woken(&["swake_up_one", "rcu_gp_kthread_wake"]),
            Some("reschedule"),
        ),
        case(
            "rcu-kick",
            irq_work()
                .did(Activity::IrqWork, "nohz_full_kick_func")
                .asked(
                    "nohz_full_kick_func",
                    &["irq_work_queue_on", "sync_rcu_exp_select_node_cpus"],
                ),
            irq_work().did(Activity::IrqWork, "nohz_full_kick_func"),
            Some("nohz-kick"),
        ),
        case(
            "task-work",
            resched().woken(&["kick_process", "task_work_add", "io_req_task_work_add"]),
            resched().woken(&["kick_process", "signal_wake_up_state", "do_send_sig_info"]),
            Some("signal"),
        ),
        case(
            "policy-changed",
            resched().woken(&["resched_curr", "__sched_setscheduler"]),
            resched().woken(&["resched_curr", "wakeup_preempt"]),
            Some("reschedule"),
        ),
        case(
            "tick-sched",
            irq_work()
                .did(Activity::IrqWork, "nohz_full_kick_func")
                .asked(
                    "nohz_full_kick_func",
                    &["tick_nohz_dep_set_cpu", "enqueue_task", "try_to_wake_up"],
                ),
            irq_work()
                .did(Activity::IrqWork, "nohz_full_kick_func")
                .asked(
                    "nohz_full_kick_func",
                    &["tick_nohz_dep_set_task", "posix_cpu_timer_set"],
                ),
            Some("tick-posix-timer"),
        ),
        case(
            "perf-event",
            call().did(Activity::Csd, "__perf_event_read"),
            call().did(Activity::Csd, "perf_duration_warn"),
            Some("cross-call"),
        ),
        case(
            "msr-access",
            call().did(Activity::Csd, "cpuid_smp_cpuid"),
            call().did(Activity::Csd, "smp_call_on_cpu_callback"),
            Some("cross-call"),
        ),
        case(
            "tlb-kernel",
            calls().asked("__cpa_flush_tlb", &["cpa_flush", "set_memory_ro"]),
            calls().asked("__cpa_flush_tlb", &["cpa_flush", "load_module"]),
            Some("module-load"),
        ),
        case(
            "irq-timer",
            timer().did(Activity::Timer, "mix_interrupt_randomness"),
            timer().did(Activity::Timer, "delayed_work_timer_fn"),
            Some("timer-migration"),
        ),
        case(
            "irq-timer",
            call().asked(
                "nohz_full_kick_func",
                &["add_timer_on", "__vector_schedule_cleanup"],
            ),
            device("eth0", "e1000_intr"),
            Some("device-irq"),
        ),
        case(
            "userfaultfd",
            fault("write", false, 0x7f00_0000_1000)
                .woken(&["__wake_userfault", "userfaultfd_ioctl"])
                .ended(End::Blocked),
            fault("write", false, 0x7f00_0000_1000).ended(End::Blocked),
            Some("fault-wait"),
        ),
        case(
            "userfaultfd",
            filled(&[
                "try_to_wake_up",
                "userfaultfd_wake_function",
                "__wake_userfault",
                "userfaultfd_ioctl",
            ]),
            filled(&["try_to_wake_up", "folio_wake_bit", "folio_end_read"]),
            Some("fault-wait"),
        ),
        case(
            "fault-wait",
            fault("read", false, 0x7f00_0000_1000).ended(End::Blocked),
            fault("read", false, 0x7f00_0000_1000).ended(End::Switched),
            Some("first-touch"),
        ),
        case(
            "vsyscall",
            fault("fetch", true, 0xffff_ffff_ff60_0000),
            fault("fetch", false, 0xffff_ffff_ff60_1000),
            Some("code-fault"),
        ),
        case(
            "syscall-settings",
            syscall("setrlimit"),
            syscall("getuid"),
            Some("syscall-identity"),
        ),
        case(
            "syscall-identity",
            syscall("getcpu"),
            syscall("gettimeofday"),
            Some("syscall-time"),
        ),
        case(
            "syscall-ipc",
            syscall("semop"),
            syscall("futex"),
            Some("syscall-futex"),
        ),
    ]
}
