//! Every system call of every table has a rule of its class.

use std::collections::BTreeSet;

use super::{build::syscall, found};
use crate::arch::Arch;

/// System calls of no class: they manage the kernel, or exist in name only. A new kernel's calls come
/// here or into the table.
const OF_NO_CLASS: &[&str] = &[
    "_sysctl",
    "acct",
    "add_key",
    "adjtimex",
    "afs_syscall",
    "bdflush",
    "bpf",
    "break",
    "chroot",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_settime",
    "clock_settime64",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "getpmsg",
    "gtty",
    "init_module",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listmount",
    "lock",
    "lookup_dcookie",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "membarrier",
    "mount",
    "mount_setattr",
    "move_mount",
    "mpx",
    "nfsservctl",
    "open_tree",
    "open_tree_attr",
    "perf_event_open",
    "pivot_root",
    "prof",
    "profil",
    "putpmsg",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "security",
    "setdomainname",
    "sethostname",
    "settimeofday",
    "statmount",
    "stime",
    "stty",
    "swapoff",
    "swapon",
    "sysfs",
    "tuxcall",
    "umount",
    "umount2",
    "uprobe",
    "uretprobe",
    "vhangup",
    "vserver",
];

/// Each class with calls that people take for another one.
const CLASSES: &[(&str, &[&str])] = &[
    ("syscall-time", &["clock_gettime", "time", "getrusage"]),
    ("syscall-sleep", &["clock_nanosleep", "epoll_wait", "wait4"]),
    ("syscall-futex", &["futex", "futex_waitv"]),
    ("syscall-memory", &["mincore", "userfaultfd", "shmget"]),
    ("own-writeback", &["fsync", "msync"]),
    ("syscall-network", &["sendto", "getsockopt"]),
    ("syscall-io", &["statfs", "flock", "getcwd", "epoll_ctl"]),
    ("syscall-process", &["clone3", "ptrace", "pidfd_open"]),
    ("syscall-identity", &["getcpu", "getpid", "uname"]),
    (
        "syscall-settings",
        &[
            "setrlimit",
            "prlimit64",
            "setuid",
            "prctl",
            "sched_setaffinity",
        ],
    ),
    ("syscall-ipc", &["semop", "mq_timedsend"]),
    ("syscall-timer", &["timer_getoverrun", "timerfd_settime"]),
    ("syscall-signal", &["pidfd_send_signal", "rt_sigprocmask"]),
    ("signal", &["rt_sigreturn"]),
];

fn every_call() -> BTreeSet<&'static str> {
    let names = |number| {
        [
            Arch::X86_64.syscall_name(number),
            Arch::X86_64.compat_syscall_name(number),
            Arch::Aarch64.syscall_name(number),
        ]
    };
    (0..2_000).flat_map(names).flatten().collect()
}

#[test]
fn each_is_in_the_class_that_it_belongs_to() {
    for (class, names) in CLASSES {
        for name in *names {
            assert_eq!(found(&syscall(name)), Some(*class), "{name}");
        }
    }
}

#[test]
fn each_has_a_class_or_is_known_to_have_none() {
    let all = every_call();
    assert!(all.len() > 400, "the tables are read");
    let unclassed: BTreeSet<_> = all
        .into_iter()
        .filter(|name| found(&syscall(name)) == Some("syscall"))
        .collect();
    assert_eq!(unclassed, OF_NO_CLASS.iter().copied().collect());
}
