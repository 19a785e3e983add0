//! Rules that no guest tries, and why: each rule is here, or is tried, or says that nothing ends it.

/// Reasons that hold for one rule, or for several alike.
pub(super) const UNTRIED: &[(&[&str], &str)] = &[
    (&["alignment"], "QEMU's TCG raises no alignment check"),
    (
        &["clocksource-skew-check"],
        "before 7.2 the kernel checks so only after a suspicious reading, which an emulator cannot be asked for; 7.2 checks so each time, where it was recorded; its argument is that of clocksource-watchdog, which is tried",
    ),
    (&["cpufreq"], "the guest's CPUs have no frequency driver"),
    (
        &["fault-wait"],
        "the guest's programs run from memory, no page is read from a disk or from swap; `swapoff -a` of its text brings all that is swapped out back at once, for which a host needs the room",
    ),
    (
        &["fault-signal", "own-signal"],
        "what ends it is a program without the mistake, of which a test could only show that what is not done does not happen; `kill_fault` sees the rule",
    ),
    (
        &["isolcpus-dropped"],
        "no breach shows it; every guest boots with both arguments as the rule has them, and `Guest::detect` asks for what they do",
    ),
    (
        &["load-balance", "rcu-softirq"],
        "where the softirq runs, the tick is on as well, and its rule comes first: residual-tick, which is tried with the same line",
    ),
    (
        &["module-load"],
        "`sysctl -w kernel.modules_disabled=1` of its text lasts until the next boot, whoever wants a module later: a person has to decide on that",
    ),
    (
        &["net-softirq"],
        "the queues and masks that its text speaks of are those of a network device, which the guest lacks, and differ from one to the next",
    ),
    (
        &["nmi-backtrace"],
        "the guests show it by sysrq-l, which no setting ends, as its text says; its commands are for reports of lockups, which no test makes",
    ),
    (
        &["nmi-perf-counter"],
        "QEMU's TCG has no performance counters",
    ),
    (
        &["packet-timer"],
        "`tc qdisc replace` of its text takes away what somebody set up to share a link, and the packets in it",
    ),
    (
        &["printk"],
        "what has to be mended is whatever the message complains of",
    ),
    (
        &["rcu-expedited"],
        "it was recorded once, under load: RCU asks a CPU that it finds in the kernel, and that the CPU is back in user mode when asked is chance, which a test cannot trigger at will",
    ),
    (
        &["rcu-kick"],
        "RCU asks a CPU only after it has been in the kernel for long; no load of the guests is",
    ),
    (&["tick-clock-unstable"], "the guest's TSC stays stable"),
    (
        &["tick-rcu"],
        "it was recorded once, while a CPU was taken off line, when the kernel has every CPU tick whatever the arguments say (rcutree_offline_cpu, kernel/rcu/tree.c, v6.12); else RCU wants the tick of a CPU only after it has been in the kernel for long, and no load of the guests is",
    ),
    (
        &["tick-sched"],
        "its text is that of second-task, and of fair-server, whose command is tried: there the tick that it kept ends too",
    ),
    (
        &["tlb-compaction"],
        "it was recorded of move_pages(2) and of a write to compact_memory, which its commands do not end; they are for a program that locks its memory, and do nothing alone",
    ),
    (
        &["tlb-reclaim"],
        "whoever runs short of memory in a guest takes the tests along; `swapoff -a` of its text brings all that is swapped out back at once, for which a host needs the room",
    ),
    (
        &["trace-reader"],
        "`buffer_percent` of its text is a setting for all who read the trace, and how a BPF program wakes its reader is up to that program",
    ),
    (
        &["tracer"],
        "nothing of isol-trace reaches a watched CPU while it records: `quiet_control` wants that",
    ),
    (
        &["tracing-attach"],
        "`ftrace_enabled` of its text ends the function tracing of everybody on the host; a test that attaches nothing meanwhile would show that what nobody does has no effect",
    ),
    (
        &["tsc-adjust-check"],
        "QEMU's TCG has no TSC_ADJUST register",
    ),
    // Rules of which the text sends the reader on to the origin.
    (
        &[
            "bound-kworker",
            "cross-call",
            "ksoftirqd",
            "nohz-kick",
            "reschedule",
            "softirq",
            "text-patching",
            "tlb-kernel",
            "tlb-shootdown",
        ],
        "it stands for all of a kind of which no rule knows more: what would end it is the origin's to say, and another thing each time",
    ),
    // Rules of which the text says what others are not to do meanwhile.
    (
        &[
            "bh-lru",
            "clock-set",
            "cpu-settings",
            "cpu-time-read",
            "memcg-drain",
            "msr-access",
            "net-flush-backlog",
            "policy-changed",
            "rcu-barrier",
            "stop-machine",
            "task-moved",
            "timer-gone",
            "tlb-other-process",
        ],
        "its text says what others are to do before or not at all: a test could only show that what nobody does has no effect",
    ),
];
