//! What user space tells the programs before they are armed.
//!
//! All of it sits in read-only globals, which the verifier knows at load time: a
//! switch that is off costs nothing. Only [`Watch`] may change later.

use crate::MAX_CPUS;

/// An offset that the running kernel's type information does not have.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets into kernel structures, from the running kernel's BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
pub struct Offsets {
    /// The instruction pointer in `pt_regs`. Where registers lie is said by the names that `arch` of the user's side has.
    pub regs_ip: u32,
    /// The stack pointer.
    pub regs_sp: u32,
    /// The frame pointer, in programs that have one.
    pub regs_bp: u32,
    /// The flags.
    pub regs_flags: u32,
    /// The system-call number or -1.
    pub regs_number: u32,
    /// What a system call returns.
    pub regs_result: u32,
    /// The six argument registers, in the order of the system-call convention.
    pub regs_args: [u32; 6],
    /// Two more, by which `arch` of the kernel's side tells that user mode was left by the instruction for system calls.
    pub regs_syscall: [u32; 2],
    /// `task_struct.pid`: the thread's number.
    pub task_pid: u32,
    /// `task_struct.tgid`: the process's number.
    pub task_tgid: u32,
    /// `task_struct.comm`.
    pub task_comm: u32,
    /// `task_struct.thread_info.cpu`.
    pub task_cpu: u32,
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// The exception that the kernel is about to signal, in `task_struct`.
    pub task_trap_number: u32,
    /// `timer_list.function`.
    pub timer_function: u32,
    /// `hrtimer.function`.
    pub hrtimer_function: u32,
    /// `work_struct.func`.
    pub work_function: u32,
    /// `irqaction.handler`.
    pub irqaction_handler: u32,
    /// `kernel_siginfo.si_code`.
    pub siginfo_code: u32,
    /// `k_sigaction.sa` plus `sigaction.sa_handler`.
    pub sigaction_handler: u32,
    /// `task_struct.signal`.
    pub task_signal: u32,
    /// `signal_struct.group_exit_code`.
    pub signal_exit_code: u32,
    /// `signal_struct.live`: threads of the process that have not begun to die.
    pub signal_live: u32,
    /// `task_struct.start_time`: when it was forked, `CLOCK_MONOTONIC`.
    pub task_start_time: u32,
    /// `pool_workqueue.pool`.
    pub pwq_pool: u32,
    /// `worker_pool.cpu`.
    pub pool_cpu: u32,
    /// `timer_list.flags`: its low bits are the CPU.
    pub timer_flags: u32,
    /// `hrtimer.base`.
    pub hrtimer_base: u32,
    /// `hrtimer_clock_base.cpu_base`.
    pub clock_base_cpu_base: u32,
    /// `hrtimer.node` plus the node's `expires`: when it is due, by its own clock.
    pub hrtimer_expires: u32,
    /// `hrtimer_clock_base.offset`: by how much that clock is ahead of `CLOCK_MONOTONIC`.
    pub clock_base_offset: u32,
    /// `hrtimer_cpu_base.cpu`.
    pub cpu_base_cpu: u32,
    /// `__call_single_data.func`.
    pub csd_function: u32,
    /// `task_struct.real_parent`: the process that made it, or who has taken that one's place.
    pub task_real_parent: u32,
    /// `perf_event.hw` plus `hw_perf_event.hrtimer`.
    pub perf_event_timer: u32,
    /// `perf_event.owner`: the task that opened it.
    pub perf_event_owner: u32,
    /// `perf_event.parent`: the event that a child's was inherited from.
    pub perf_event_parent: u32,
}

impl Offsets {
    /// Nothing known.
    pub const UNKNOWN: Self = Self {
        regs_ip: ABSENT,
        regs_sp: ABSENT,
        regs_bp: ABSENT,
        regs_flags: ABSENT,
        regs_number: ABSENT,
        regs_result: ABSENT,
        regs_args: [ABSENT; 6],
        regs_syscall: [ABSENT; 2],
        task_pid: ABSENT,
        task_tgid: ABSENT,
        task_comm: ABSENT,
        task_cpu: ABSENT,
        task_flags: ABSENT,
        task_trap_number: ABSENT,
        timer_function: ABSENT,
        hrtimer_function: ABSENT,
        work_function: ABSENT,
        irqaction_handler: ABSENT,
        siginfo_code: ABSENT,
        sigaction_handler: ABSENT,
        task_signal: ABSENT,
        signal_exit_code: ABSENT,
        signal_live: ABSENT,
        task_start_time: ABSENT,
        pwq_pool: ABSENT,
        pool_cpu: ABSENT,
        timer_flags: ABSENT,
        hrtimer_base: ABSENT,
        clock_base_cpu_base: ABSENT,
        hrtimer_expires: ABSENT,
        clock_base_offset: ABSENT,
        cpu_base_cpu: ABSENT,
        csd_function: ABSENT,
        task_real_parent: ABSENT,
        perf_event_timer: ABSENT,
        perf_event_owner: ABSENT,
        perf_event_parent: ABSENT,
    };
}

/// Where the kernel keeps each CPU's `preempt_count`, and which of its bits say that an
/// interrupt is being served.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
pub struct PreemptCount {
    /// Address of `__per_cpu_offset`, the table of what to add per CPU; 0 where it is not known.
    pub bases: u64,
    /// Address of the count before that is added.
    pub address: u64,
    /// The bits of softirqs, hard interrupts and NMIs.
    pub interrupt_bits: u32,
    /// Zero, for later.
    pub reserved: u32,
}

impl PreemptCount {
    /// Nothing known.
    pub const UNKNOWN: Self = Self {
        bases: 0,
        address: 0,
        interrupt_bits: 0,
        reserved: 0,
    };
}

/// Only the processes in the `PIDS` map are watched.
pub const FILTER_PID: u32 = 1 << 0;
/// Only the threads whose names are in the `COMMS` map are watched.
pub const FILTER_COMM: u32 = 1 << 1;
/// Only entries inside an isolated section are breaches.
pub const FILTER_SECTION: u32 = 1 << 2;

/// `prctl` operation that begins and ends an isolated section: "ISOL".
pub const PR_TASK_ISOLATION: u64 = 0x4953_4f4c;

/// Operations of [`PR_TASK_ISOLATION`] (`kernel/patches`, `include/uapi/linux/task_isolation.h`).
pub mod isolation {
    /// Isolation ends.
    pub const LEAVE: u64 = 0;
    /// Isolation begins.
    pub const ENTER: u64 = 1;
    /// The first of those that tell or configure something, and change nothing.
    pub const FIRST_QUIET: u64 = 2;
    /// The last of them.
    pub const LAST_QUIET: u64 = 5;
}

/// Slot of the map of rings for what CPUs that are not watched ask of watched ones.
pub const SENDERS_SLOT: u32 = MAX_CPUS;
/// A slot of the map of rings that nobody writes to.
pub const BARRIER_SLOT: u32 = MAX_CPUS + 1;
/// Slots of the map of rings: one per CPU, and the two above.
pub const RING_SLOTS: u32 = MAX_CPUS + 2;

/// More than any thread's number: `PID_MAX_LIMIT` of a 64-bit kernel (`include/linux/threads.h`, v6.1 to v7.2).
pub const MAX_THREADS: u32 = 4 << 20;
/// Threads whose sections are in one value of their map.
pub const SECTIONS_TOGETHER: u32 = 4;

/// Words of a mask of CPUs.
pub const MASK_WORDS: usize = MAX_CPUS as usize / 64;

/// Which CPUs are watched: the only global that changes while the programs run. Each bit
/// stands for itself, so that a reader in the middle of a change sees each CPU as it was or as it will be.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
pub struct Watch {
    /// Bit mask of the watched CPUs.
    pub watched: [u64; MASK_WORDS],
    /// Bit mask of those CPUs whose entries are derived from vectors, because the kernel has no
    /// context tracking on them. Such a bit comes before that of `watched` and goes after it.
    pub vectors: [u64; MASK_WORDS],
}

impl Watch {
    /// Nobody.
    pub const NONE: Self = Self {
        watched: [0; MASK_WORDS],
        vectors: [0; MASK_WORDS],
    };
}

/// CPUs of [`Config::first_watched`].
pub const FIRST_WATCHED: usize = 16;

/// Read-only configuration of the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
pub struct Config {
    /// `FILTER_…` bits.
    pub filters: u32,
    /// Number of the `prctl` system call on this architecture.
    pub prctl_number: u32,
    /// The tracer's own process.
    pub own_pid: u32,
    /// Not 0: this kernel has the tracepoint `csd_queue_cpu`, which sees every cross-call.
    pub queues_seen: u32,
    /// Not 0: senders leave a copy of their user stack.
    pub user_stacks: u32,
    /// The signal that a breach inside an isolated section is answered with; 0 for none.
    pub strict_signal: u32,
    /// System calls that strict mode leaves alone: `exit`, `exit_group`, `rt_sigreturn`.
    pub exempt_calls: [u32; 3],
    /// Not 0: this kernel has task isolation, and tells of it.
    pub knows_isolation: u32,
    /// Zero, for later.
    pub reserved: u32,
    /// The first of the CPUs that are watched from the beginning; [`ABSENT`] beyond their end. For
    /// programs that go through a mask of CPUs, which must not take long.
    pub first_watched: [u32; FIRST_WATCHED],
    /// Where the kernel keeps what the programs read.
    pub offsets: Offsets,
    /// How to know an interrupt's context.
    pub preempt_count: PreemptCount,
    /// Address of `perf_swevent_hrtimer`, the function of the timers of perf events that count time; 0
    /// where it is not known.
    pub perf_timer_function: u64,
}

impl Config {
    /// Watches nothing.
    pub const EMPTY: Self = Self {
        filters: 0,
        prctl_number: ABSENT,
        own_pid: 0,
        queues_seen: 0,
        user_stacks: 0,
        strict_signal: 0,
        exempt_calls: [ABSENT; 3],
        knows_isolation: 0,
        reserved: 0,
        first_watched: [ABSENT; FIRST_WATCHED],
        offsets: Offsets::UNKNOWN,
        preempt_count: PreemptCount::UNKNOWN,
        perf_timer_function: 0,
    };
}

/// The switch and what changes rarely, in one map value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
pub struct Control {
    /// Not 0: the programs work. User space arms with one store.
    pub armed: u32,
    /// Changes whenever a thread's name or section does: cached task facts are stale then.
    pub generation: u32,
}
