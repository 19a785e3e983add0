//! What the task itself does.

use super::{
    super::build::{calls, exception, fault, syscall},
    Case, case,
};
use crate::event::model::{Activity, Breach, End};
use isol_trace_common::config::{PR_TASK_ISOLATION, isolation};

/// What a task says of its section.
fn says(operation: u64) -> Breach {
    syscall("prctl").with(&[PR_TASK_ISOLATION, operation])
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "fault-signal",
            fault("read", false, 8).did(Activity::Signal, "SIGSEGV"),
            fault("read", false, 8).did(Activity::Signal, "SIGUSR1"),
            Some("first-touch"),
        ),
        // Strict mode ends a task in a fault that the kernel would have served.
        case(
            "fault-signal",
            // An interrupt has come in between.
            fault("write", false, 0x7ffd_1234_5000)
                .did(Activity::Irq, "virtio1-req.0")
                .ended(End::Exited)
                .within(false),
            fault("write", false, 0x7ffd_1234_5000)
                .ended(End::Exited)
                .within(true),
            Some("stack-growth"),
        ),
        case(
            "fault-signal",
            fault("fetch", true, 0x7f00_0000_1000).did(Activity::Signal, "SIGBUS"),
            fault("fetch", true, 0x7f00_0000_1000)
                .did(Activity::Signal, "SIGKILL")
                .ended(End::Exited)
                .within(false),
            Some("code-fault"),
        ),
        case(
            "own-signal",
            syscall("write").did(Activity::Signal, "SIGPIPE"),
            syscall("write")
                .did(Activity::Signal, "SIGTERM")
                .ended(End::Exited),
            Some("syscall-io"),
        ),
        case(
            "own-signal",
            syscall("tgkill")
                .did(Activity::Signal, "SIGABRT")
                .ended(End::Exited),
            syscall("tgkill").did(Activity::Signal, "SIGUSR1"),
            Some("syscall-signal"),
        ),
        case(
            "stack-growth",
            fault("write", false, 0x7ffd_1234_5000),
            fault("write", false, 0x7ffb_ffff_f000),
            Some("first-touch"),
        ),
        case(
            "copy-on-write",
            fault("write", true, 0x7f00_0000_1000),
            fault("read", true, 0x7f00_0000_1000),
            Some("first-touch"),
        ),
        case(
            "code-fault",
            fault("fetch", false, 0x40_1000),
            fault("read", false, 0x40_1000),
            Some("first-touch"),
        ),
        case(
            "first-touch",
            fault("write", false, 0x7f00_0000_1000),
            fault("write", true, 0x7f00_0000_1000),
            Some("copy-on-write"),
        ),
        case(
            "debugger",
            exception("breakpoint"),
            exception("invalid_opcode"),
            Some("exception"),
        ),
        case(
            "alignment",
            exception("alignment_check"),
            exception("divide_error"),
            Some("exception"),
        ),
        case(
            "exception",
            exception("general_protection"),
            exception("debug"),
            Some("debugger"),
        ),
        case(
            "syscall-time",
            syscall("clock_gettime"),
            syscall("clock_nanosleep"),
            Some("syscall-sleep"),
        ),
        case(
            "syscall-sleep",
            syscall("nanosleep"),
            syscall("futex"),
            Some("syscall-futex"),
        ),
        case(
            "syscall-futex",
            syscall("futex"),
            syscall("poll"),
            Some("syscall-sleep"),
        ),
        case(
            "syscall-memory",
            syscall("munmap"),
            calls()
                .did(Activity::Csd, "flush_tlb_func")
                .asked("flush_tlb_func", &["__vm_munmap"]),
            Some("tlb-munmap"),
        ),
        case(
            "own-writeback",
            syscall("fdatasync"),
            syscall("write"),
            Some("syscall-io"),
        ),
        case(
            "own-writeback",
            syscall("write").ended(End::Blocked),
            syscall("read").ended(End::Blocked),
            Some("syscall-io"),
        ),
        case(
            "syscall-network",
            syscall("sendto"),
            syscall("sendfile"),
            Some("syscall-io"),
        ),
        case(
            "syscall-io",
            syscall("pread64"),
            syscall("recvmsg"),
            Some("syscall-network"),
        ),
        case(
            "syscall-process",
            syscall("exit_group"),
            syscall("prctl"),
            Some("syscall-settings"),
        ),
        case(
            "section-begins",
            says(isolation::ENTER).within(false),
            // Such as what tells whether there is a section.
            says(isolation::FIRST_QUIET).within(false),
            Some("syscall-settings"),
        ),
        case(
            "section-ends",
            says(isolation::LEAVE).within(true),
            // It is in its section: to say so again is a call like any other.
            says(isolation::ENTER).within(true),
            Some("syscall-settings"),
        ),
        case(
            "section-ends",
            says(isolation::LEAVE).within(true),
            // Another operation of prctl(2), such as PR_SET_NAME.
            syscall("prctl").with(&[15, isolation::LEAVE]).within(true),
            Some("syscall-settings"),
        ),
        case(
            "syscall-identity",
            syscall("getpid"),
            syscall("setuid"),
            Some("syscall-settings"),
        ),
        case(
            "syscall-timer",
            syscall("timer_settime"),
            syscall("clock_settime"),
            Some("syscall"),
        ),
        case(
            "syscall-signal",
            syscall("tgkill"),
            syscall("rt_sigreturn"),
            Some("signal"),
        ),
        case(
            "syscall",
            syscall("bpf"),
            syscall("mmap"),
            Some("syscall-memory"),
        ),
    ]
}
