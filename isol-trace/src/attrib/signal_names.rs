//! Names of signals, by number.

use std::borrow::Cow;

/// `include/uapi/asm-generic/signal.h`, from 1 on; x86 (`arch/x86/include/uapi/asm/signal.h`) and arm64 number the same.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The last signal of x86 and arm64 (`_NSIG`).
const LAST: u32 = 64;

/// The name of a signal; `None` for a number that is none.
#[must_use]
pub fn signal_name(number: u32) -> Option<Cow<'static, str>> {
    match number {
        1..=31 => NAMES
            .get(usize::try_from(number).ok()?.checked_sub(1)?)
            .map(|name| Cow::Borrowed(*name)),
        // The kernel's real-time signals begin at 32; the C library keeps two, and `kill -l` counts from 34.
        32..34 => Some(Cow::Owned(format!("SIG{number}"))),
        34 => Some(Cow::Borrowed("SIGRTMIN")),
        35..=LAST => Some(Cow::Owned(format!("SIGRTMIN+{}", number - 34))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;

    #[test]
    fn names_stand_at_the_systems_numbers() {
        for (signal, name) in [
            (Signal::HUP, "SIGHUP"),
            (Signal::ILL, "SIGILL"),
            (Signal::TRAP, "SIGTRAP"),
            (Signal::BUS, "SIGBUS"),
            (Signal::FPE, "SIGFPE"),
            (Signal::KILL, "SIGKILL"),
            (Signal::SEGV, "SIGSEGV"),
            (Signal::PIPE, "SIGPIPE"),
            (Signal::TERM, "SIGTERM"),
            (Signal::CHILD, "SIGCHLD"),
            (Signal::URG, "SIGURG"),
            (Signal::WINCH, "SIGWINCH"),
            (Signal::SYS, "SIGSYS"),
        ] {
            let number = signal.as_raw().unsigned_abs();
            assert_eq!(signal_name(number).as_deref(), Some(name));
        }
    }

    #[test]
    fn the_real_time_ones_are_counted_as_kill_does() {
        assert_eq!(signal_name(32).as_deref(), Some("SIG32"));
        assert_eq!(signal_name(34).as_deref(), Some("SIGRTMIN"));
        assert_eq!(signal_name(64).as_deref(), Some("SIGRTMIN+30"));
        assert_eq!(signal_name(0), None);
        assert_eq!(signal_name(65), None);
    }
}
