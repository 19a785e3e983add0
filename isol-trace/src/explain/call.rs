//! System calls as a person writes them: `write(1, 0x7ffd00001000, 12)`.
//!
//! The log has six registers of every call, most of which hold what was in them before. How many a call
//! takes is told by the table here; numbers are those of `include/linux/syscalls.h` (v6.12).

/// Common calls by the number of their arguments.
const ARGUMENTS: [&[&str]; 7] = [
    &[
        "fork",
        "getegid",
        "geteuid",
        "getgid",
        "getpgrp",
        "getpid",
        "getppid",
        "gettid",
        "getuid",
        "inotify_init",
        "munlockall",
        "pause",
        "restart_syscall",
        "rt_sigreturn",
        "sched_yield",
        "setsid",
        "sync",
        "vfork",
        "vhangup",
    ],
    &[
        "alarm",
        "brk",
        "chdir",
        "chroot",
        "close",
        "dup",
        "epoll_create",
        "epoll_create1",
        "eventfd",
        "exit",
        "exit_group",
        "fchdir",
        "fdatasync",
        "fsync",
        "getpgid",
        "getsid",
        "inotify_init1",
        "io_destroy",
        "mlockall",
        "personality",
        "pipe",
        "rmdir",
        "sched_get_priority_max",
        "sched_get_priority_min",
        "sched_getscheduler",
        "set_tid_address",
        "setgid",
        "setuid",
        "syncfs",
        "sysinfo",
        "time",
        "timer_delete",
        "timer_getoverrun",
        "times",
        "umask",
        "uname",
        "unlink",
        "unshare",
        "userfaultfd",
    ],
    &[
        "access",
        "arch_prctl",
        "chmod",
        "clock_getres",
        "clock_gettime",
        "clock_settime",
        "clone3",
        "creat",
        "delete_module",
        "dup2",
        "eventfd2",
        "fchmod",
        "flock",
        "fstat",
        "fstatfs",
        "ftruncate",
        "getcwd",
        "getitimer",
        "getpriority",
        "getrlimit",
        "getrusage",
        "gettimeofday",
        "inotify_rm_watch",
        "io_setup",
        "io_uring_setup",
        "kill",
        "link",
        "listen",
        "lstat",
        "memfd_create",
        "mkdir",
        "mlock",
        "munlock",
        "munmap",
        "nanosleep",
        "pidfd_open",
        "pipe2",
        "pkey_alloc",
        "rename",
        "rt_sigpending",
        "rt_sigsuspend",
        "sched_getparam",
        "sched_rr_get_interval",
        "sched_setparam",
        "set_robust_list",
        "setpgid",
        "setrlimit",
        "shutdown",
        "sigaltstack",
        "stat",
        "statfs",
        "symlink",
        "timer_gettime",
        "timerfd_create",
        "timerfd_gettime",
        "tkill",
        "truncate",
        "utime",
    ],
    &[
        "accept",
        "bind",
        "bpf",
        "chown",
        "close_range",
        "connect",
        "dup3",
        "execve",
        "faccessat",
        "fchmodat",
        "fchown",
        "fcntl",
        "finit_module",
        "get_robust_list",
        "getcpu",
        "getdents",
        "getdents64",
        "getpeername",
        "getrandom",
        "getsockname",
        "init_module",
        "inotify_add_watch",
        "io_cancel",
        "io_submit",
        "ioctl",
        "lchown",
        "lseek",
        "madvise",
        "membarrier",
        "mincore",
        "mkdirat",
        "mknod",
        "mlock2",
        "mprotect",
        "msync",
        "open",
        "poll",
        "read",
        "readahead",
        "readlink",
        "readv",
        "recvmsg",
        "rt_sigqueueinfo",
        "sched_getaffinity",
        "sched_setaffinity",
        "sched_setattr",
        "sched_setscheduler",
        "seccomp",
        "sendmsg",
        "set_mempolicy",
        "setitimer",
        "setpriority",
        "socket",
        "symlinkat",
        "syslog",
        "tgkill",
        "timer_create",
        "unlinkat",
        "write",
        "writev",
    ],
    &[
        "accept4",
        "clock_nanosleep",
        "epoll_ctl",
        "epoll_wait",
        "faccessat2",
        "fadvise64",
        "fallocate",
        "io_uring_register",
        "migrate_pages",
        "newfstatat",
        "openat",
        "openat2",
        "pidfd_send_signal",
        "pkey_mprotect",
        "pread64",
        "prlimit64",
        "ptrace",
        "pwrite64",
        "readlinkat",
        "reboot",
        "renameat",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigtimedwait",
        "rt_tgsigqueueinfo",
        "sched_getattr",
        "sendfile",
        "sendmmsg",
        "signalfd4",
        "socketpair",
        "sync_file_range",
        "tee",
        "timer_settime",
        "timerfd_settime",
        "utimensat",
        "vmsplice",
        "wait4",
    ],
    &[
        "clone",
        "execveat",
        "futex_waitv",
        "get_mempolicy",
        "getsockopt",
        "io_getevents",
        "linkat",
        "mount",
        "mremap",
        "perf_event_open",
        "ppoll",
        "prctl",
        "preadv",
        "process_madvise",
        "pwritev",
        "recvmmsg",
        "remap_file_pages",
        "renameat2",
        "select",
        "setsockopt",
        "statx",
        "waitid",
    ],
    &[
        "copy_file_range",
        "epoll_pwait",
        "epoll_pwait2",
        "futex",
        "io_uring_enter",
        "mbind",
        "mmap",
        "move_pages",
        "preadv2",
        "process_vm_readv",
        "process_vm_writev",
        "pselect6",
        "pwritev2",
        "recvfrom",
        "sendto",
        "splice",
    ],
];

/// Up to here a register is a number rather than an address.
const SMALL: u64 = 1 << 20;

/// A call with the arguments that it takes.
pub(super) fn call(name: Option<&str>, number: Option<u32>, args: Option<&[u64; 6]>) -> String {
    let what = match (name, number) {
        (Some(name), _) => name.to_owned(),
        (None, Some(number)) => format!("number {number}"),
        (None, None) => return "of a hidden number".to_owned(),
    };
    let Some(args) = args else { return what };
    let taken = name.and_then(taken).unwrap_or_else(|| {
        // A register that is 0 at the end says nothing.
        let last = args.iter().rposition(|&register| register != 0);
        last.map_or(0, |last| last + 1)
    });
    let args: Vec<String> = args.iter().take(taken).map(|&it| argument(it)).collect();
    format!("{what}({})", args.join(", "))
}

/// Whether a function of this name is the wrapper of a system call.
pub(super) fn is_common(name: &str) -> bool {
    taken(name).is_some()
}

/// How many arguments a call takes.
fn taken(name: &str) -> Option<usize> {
    ARGUMENTS.iter().position(|names| names.contains(&name))
}

/// A register: a small number in decimal, also where it is negative, and anything else as an address.
fn argument(register: u64) -> String {
    let (wide, narrow) = (register.cast_signed(), u32::try_from(register));
    match narrow.map(u32::cast_signed) {
        _ if register <= SMALL => register.to_string(),
        // An `int` in a register of 64 bits: what is above it is 0.
        Ok(narrow @ -4095..=-1) => narrow.to_string(),
        _ if (-4095..=-1).contains(&wide) => wide.to_string(),
        _ => format!("{register:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_arguments_that_it_takes() {
        let args = [1, 0x7ffd_0000_1000, 12, 7, 0, 9];
        assert_eq!(
            call(Some("write"), Some(1), Some(&args)),
            "write(1, 0x7ffd00001000, 12)"
        );
        assert_eq!(call(Some("getpid"), Some(39), Some(&args)), "getpid()");
        assert_eq!(call(Some("write"), Some(1), None), "write");
        let args = [
            u64::from(u32::MAX) - 99,
            u64::MAX,
            1 << 20,
            (1 << 20) + 1,
            0,
            0,
        ];
        assert_eq!(
            call(None, Some(999), Some(&args)),
            "number 999(-100, -1, 1048576, 0x100001)"
        );
        assert_eq!(call(None, Some(999), Some(&[0; 6])), "number 999()");
        assert_eq!(call(None, None, Some(&args)), "of a hidden number");
    }

    #[test]
    fn no_call_stands_twice() {
        let mut all: Vec<_> = ARGUMENTS.iter().copied().flatten().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn every_call_is_one() {
        for name in ARGUMENTS.iter().copied().flatten() {
            assert!(name.parse::<syscalls::x86_64::Sysno>().is_ok(), "{name}");
        }
    }
}
