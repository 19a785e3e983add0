//! Signals: their numbers and names.

use std::{borrow::Cow, fmt};

use isol_trace_common::kill::{MAX_SIGNAL, SIGKILL};

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

/// The first of the real-time signals that programs can use: the C library keeps those before it.
const FIRST_REAL_TIME: u32 = 34;

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(u32);

impl Signal {
    /// `SIGINT`.
    pub const INTERRUPT: Self = Self(2);
    /// `SIGQUIT`.
    pub const QUIT: Self = Self(3);
    /// `SIGKILL`.
    pub const KILL: Self = Self(SIGKILL);
    /// `SIGXFSZ`.
    pub(super) const FILE_SIZE: Self = Self(25);

    /// Whether the kernel raises it for an exception of the task: `SIGILL`, `SIGTRAP`, `SIGBUS`, `SIGFPE`,
    /// `SIGSEGV`, `SIGSYS`.
    pub(super) const fn is_of_a_fault(self) -> bool {
        matches!(self.0, 4 | 5 | 7 | 8 | 11 | 31)
    }

    /// Whether the kernel raises it for a page fault that cannot be served: `SIGBUS`, `SIGSEGV`.
    pub(super) const fn is_of_a_page_fault(self) -> bool {
        matches!(self.0, 7 | 11)
    }

    /// The signal of a number; `None` where there is none.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= MAX_SIGNAL {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The signal that `text` names: a number, or a name with or without `SIG`, in either case.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::new(text.parse().ok()?);
        }
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        (1..=MAX_SIGNAL)
            .map(Self)
            .find(|signal| signal.name().strip_prefix("SIG") == Some(name))
    }

    /// Whether a program ends by it unless it handles it: not one that stops or continues a program, or that it ignores
    /// (signal(7)), and none of those that the C library keeps for itself.
    #[must_use]
    pub const fn ends_a_program(self) -> bool {
        const CHLD: u32 = 17;
        const CONT: u32 = 18;
        const TTOU: u32 = 22;
        const URG: u32 = 23;
        const WINCH: u32 = 28;
        // Between CONT and TTOU stand STOP, TSTP and TTIN.
        !matches!(self.0, CHLD | CONT..=TTOU | URG | WINCH | 32..FIRST_REAL_TIME)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        let place = usize::try_from(self.0).unwrap_or(0).wrapping_sub(1);
        match NAMES.get(place) {
            Some(name) => Cow::Borrowed(name),
            // The kernel's real-time signals begin at 32, and `kill -l` counts from 34.
            None if self.0 < FIRST_REAL_TIME => Cow::Owned(format!("SIG{}", self.0)),
            None if self.0 == FIRST_REAL_TIME => Cow::Borrowed("SIGRTMIN"),
            None => Cow::Owned(format!("SIGRTMIN+{}", self.0 - FIRST_REAL_TIME)),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use rustix::process;

    use super::*;

    fn name(number: u32) -> Option<String> {
        Signal::new(number).map(|signal| signal.to_string())
    }

    #[test]
    fn names_stand_at_the_systems_numbers() {
        for (signal, expected) in [
            (process::Signal::HUP, "SIGHUP"),
            (process::Signal::ILL, "SIGILL"),
            (process::Signal::TRAP, "SIGTRAP"),
            (process::Signal::BUS, "SIGBUS"),
            (process::Signal::FPE, "SIGFPE"),
            (process::Signal::KILL, "SIGKILL"),
            (process::Signal::SEGV, "SIGSEGV"),
            (process::Signal::PIPE, "SIGPIPE"),
            (process::Signal::TERM, "SIGTERM"),
            (process::Signal::CHILD, "SIGCHLD"),
            (process::Signal::URG, "SIGURG"),
            (process::Signal::WINCH, "SIGWINCH"),
            (process::Signal::SYS, "SIGSYS"),
        ] {
            let number = signal.as_raw().unsigned_abs();
            assert_eq!(name(number).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_real_time_ones_are_counted_as_kill_does() {
        assert_eq!(name(32).as_deref(), Some("SIG32"));
        assert_eq!(name(34).as_deref(), Some("SIGRTMIN"));
        assert_eq!(name(64).as_deref(), Some("SIGRTMIN+30"));
        assert_eq!(name(0), None);
        assert_eq!(name(65), None);
    }

    #[test]
    fn signals_that_end_a_program_are_told_from_others() {
        for name in ["KILL", "USR1", "TERM", "ABRT", "SEGV", "IO", "RTMIN", "64"] {
            assert!(Signal::from_text(name).unwrap().ends_a_program(), "{name}");
        }
        for name in [
            "STOP", "TSTP", "TTIN", "TTOU", "CONT", "CHLD", "URG", "WINCH", "32", "33",
        ] {
            assert!(!Signal::from_text(name).unwrap().ends_a_program(), "{name}");
        }
    }

    #[test]
    fn a_signal_is_named_by_number_or_name() {
        for number in 1..=MAX_SIGNAL {
            let signal = Signal::new(number).unwrap();
            assert_eq!(Signal::from_text(&number.to_string()), Some(signal));
            assert_eq!(Signal::from_text(&signal.name()), Some(signal));
        }
        let user = Signal::new(10);
        for text in ["usr1", "USR1", "SIGUSR1", "sigusr1", "10", "010"] {
            assert_eq!(Signal::from_text(text), user, "{text}");
        }
        for text in ["", "0", "65", "-9", "SIG", "USR3", "99999999999999999999"] {
            assert_eq!(Signal::from_text(text), None, "{text}");
        }
    }
}
