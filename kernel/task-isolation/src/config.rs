//! What a thread can ask for, and what a kernel can do.

use std::{fmt, num::NonZeroU8};

use bitflags::bitflags;

use crate::abi::{RawConfig, RawFeatures, Read, mode};

bitflags! {
    /// How an activation behaves.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u32 {
        /// Isolation goes on after a breach; by default its first one ends it.
        const PERSISTENT = 1 << 0;
        /// Children and programs that are executed get the configuration, but never the activation.
        const INHERIT = 1 << 1;
        /// NMIs and machine checks lead to what other breaches do; by default they are only logged.
        const NMI = 1 << 2;
    }

    /// What is put to rest before a thread is isolated.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Quiesce: u32 {
        /// The counters of memory management.
        const VMSTAT = 1 << 0;
        /// The pages on their way to LRU lists.
        const LRU = 1 << 1;
        /// The scheduler's tick.
        const TICK = 1 << 2;
    }

    /// Kinds of [`OnBreach`], as a kernel names those that it knows.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Modes: u32 {
        /// [`OnBreach::Log`].
        const LOG = 1 << mode::LOG;
        /// [`OnBreach::Signal`].
        const SIGNAL = 1 << mode::SIGNAL;
        /// [`OnBreach::Strict`].
        const STRICT = 1 << mode::STRICT;
    }
}

impl Default for Quiesce {
    /// All of it, as the kernel does where nothing was configured.
    fn default() -> Self {
        Self::all()
    }
}

macro_rules! display_as_names {
    ($($set:ty),*) => {$(
        impl fmt::Display for $set {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                bitflags::parser::to_writer(self, formatter)
            }
        }
    )*};
}

display_as_names!(Flags, Quiesce, Modes);

/// A signal by which a breach can be told, from 1 to 64. SIGCHLD, SIGCONT, SIGURG and SIGWINCH are none:
/// without a handler nothing comes of them (`SIG_KERNEL_IGNORE_MASK`, include/linux/signal.h of 6.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(NonZeroU8);

impl Signal {
    /// Nobody can catch it.
    pub const KILL: Self = Self::named(9);
    /// The program's own.
    pub const USR1: Self = Self::named(10);
    /// The program's own.
    pub const USR2: Self = Self::named(12);
    /// What debuggers stop at.
    pub const TRAP: Self = Self::named(5);

    /// The last one (`_NSIG` of x86 and arm64).
    const LAST: u8 = 64;

    /// The signal of a number, if it is one that can be chosen.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(signal) if number <= Self::LAST && !is_ignored_by_default(number) => {
                Some(Self(signal))
            }
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0.get()
    }

    const fn named(number: u8) -> Self {
        match Self::new(number) {
            Some(signal) => signal,
            None => Self(NonZeroU8::MIN),
        }
    }
}

/// Whether nothing comes of a signal for which there is no handler.
const fn is_ignored_by_default(number: u8) -> bool {
    const CHLD: u8 = 17;
    const CONT: u8 = 18;
    const URG: u8 = 23;
    const WINCH: u8 = 28;
    matches!(number, CHLD | CONT | URG | WINCH)
}

/// What a breach leads to. A signal that is blocked or ignored when it comes does what it does by
/// default, which is to kill for most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnBreach {
    /// The trace event `task_isolation_breach`.
    #[default]
    Log,
    /// Also a signal, whose handler finds the registers that the thread had in user mode.
    Signal(Signal),
    /// Also, if it was a system call, that is not executed. When a handler returns, it is made again.
    Strict(Signal),
}

/// What a thread wants to happen once it is isolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Config {
    on_breach: OnBreach,
    flags: Flags,
    quiesce: Quiesce,
}

impl Config {
    /// A one-shot isolation with everything quiesced. [`Config::default`] is what is in force where
    /// nothing was configured: the same, and a breach is logged.
    #[must_use]
    pub const fn new(on_breach: OnBreach) -> Self {
        Self {
            on_breach,
            flags: Flags::empty(),
            quiesce: Quiesce::all(),
        }
    }

    /// The same with these flags.
    #[must_use]
    pub const fn with_flags(self, flags: Flags) -> Self {
        Self { flags, ..self }
    }

    /// The same with this put to rest.
    #[must_use]
    pub const fn with_quiesce(self, quiesce: Quiesce) -> Self {
        Self { quiesce, ..self }
    }

    /// What a breach leads to.
    #[must_use]
    pub const fn on_breach(&self) -> OnBreach {
        self.on_breach
    }

    /// How the activation behaves.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// What is put to rest.
    #[must_use]
    pub const fn quiesce(&self) -> Quiesce {
        self.quiesce
    }

    /// Its kind of [`OnBreach`].
    pub(crate) const fn mode(&self) -> Modes {
        match self.on_breach {
            OnBreach::Log => Modes::LOG,
            OnBreach::Signal(_) => Modes::SIGNAL,
            OnBreach::Strict(_) => Modes::STRICT,
        }
    }

    /// As the kernel takes it.
    pub(crate) fn encode(&self) -> RawConfig {
        let (mode, signal) = match self.on_breach {
            OnBreach::Log => (mode::LOG, 0),
            OnBreach::Signal(signal) => (mode::SIGNAL, signal.number()),
            OnBreach::Strict(signal) => (mode::STRICT, signal.number()),
        };
        RawConfig {
            mode,
            flags: self.flags.bits(),
            quiesce: self.quiesce.bits(),
            signal: u32::from(signal),
        }
    }

    /// As the kernel gives it; `None` if it says more than a `Config` can.
    pub(crate) fn decode(read: Read) -> Option<Self> {
        let [mode, flags, quiesce, signal] = read.words;
        let signal = || match u8::try_from(signal).ok()? {
            0 => Some(Signal::KILL),
            number => Signal::new(number),
        };
        let on_breach = match mode {
            mode::LOG => OnBreach::Log,
            mode::SIGNAL => OnBreach::Signal(signal()?),
            mode::STRICT => OnBreach::Strict(signal()?),
            _ => return None,
        };
        (!read.more).then_some(Self {
            on_breach,
            flags: Flags::from_bits_retain(flags),
            quiesce: Quiesce::from_bits_retain(quiesce),
        })
    }
}

/// What a kernel can do. It may know more than this crate has names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    modes: Modes,
    flags: Flags,
    quiesce: Quiesce,
}

impl Features {
    /// The kinds of [`OnBreach`].
    #[must_use]
    pub const fn modes(&self) -> Modes {
        self.modes
    }

    /// How an activation can behave.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// What can be put to rest.
    #[must_use]
    pub const fn quiesce(&self) -> Quiesce {
        self.quiesce
    }

    /// Whether a configuration asks for nothing else.
    #[must_use]
    pub fn allow(&self, config: &Config) -> bool {
        self.lacking(config).is_empty()
    }

    /// What of a configuration the kernel does not know, in its own words.
    pub(crate) fn lacking(&self, config: &Config) -> Vec<String> {
        let mode = config.mode().difference(self.modes);
        let flags = config.flags.difference(self.flags);
        let quiesce = config.quiesce.difference(self.quiesce);
        let mut lacking = Vec::new();
        if !mode.is_empty() {
            lacking.push(format!("the mode {mode}"));
        }
        if !flags.is_empty() {
            lacking.push(format!("the flags {flags}"));
        }
        if !quiesce.is_empty() {
            lacking.push(format!("to quiesce {quiesce}"));
        }
        lacking
    }

    /// As the kernel gives it. What has grown behind the words known here cannot be asked for either.
    pub(crate) fn decode(read: Read) -> Self {
        let [modes, flags, quiesce, reserved] = read.words;
        let raw = RawFeatures {
            modes,
            flags,
            quiesce,
            reserved,
        };
        Self {
            modes: Modes::from_bits_retain(raw.modes),
            flags: Flags::from_bits_retain(raw.flags),
            quiesce: Quiesce::from_bits_retain(raw.quiesce),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: [u32; 4]) -> Read {
        Read { words, more: false }
    }

    #[test]
    fn a_configuration_is_encoded_as_the_header_has_it() {
        let config = Config::new(OnBreach::Strict(Signal::USR2))
            .with_flags(Flags::PERSISTENT | Flags::NMI)
            .with_quiesce(Quiesce::LRU | Quiesce::TICK);
        let raw = config.encode();
        assert_eq!(
            raw,
            RawConfig {
                mode: 2,
                flags: 0b101,
                quiesce: 0b110,
                signal: 12
            }
        );
        assert_eq!(Config::decode(read([2, 0b101, 0b110, 12])), Some(config));
        let default = Config::default().encode();
        assert_eq!((default.mode, default.flags), (0, 0));
        assert_eq!((default.quiesce, default.signal), (0b111, 0));
        assert_eq!(Config::new(OnBreach::Log), Config::default());
    }

    #[test]
    fn no_signal_is_sigkill() {
        let config = Config::decode(read([1, 0, 7, 0])).unwrap();
        assert_eq!(config.on_breach(), OnBreach::Signal(Signal::KILL));
    }

    #[test]
    fn a_configuration_that_says_more_is_none() {
        assert_eq!(Config::decode(read([3, 0, 0, 0])), None);
        assert_eq!(Config::decode(read([1, 0, 0, 65])), None);
        let more = Read {
            words: [0; 4],
            more: true,
        };
        assert_eq!(Config::decode(more), None);
    }

    #[test]
    fn signals_have_the_kernels_numbers() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(64).map(Signal::number), Some(64));
        let ignored = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
        for number in ignored {
            assert_eq!(Signal::new(u8::try_from(number).unwrap()), None);
        }
        let named = [Signal::KILL, Signal::USR1, Signal::USR2, Signal::TRAP];
        let numbers = [libc::SIGKILL, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTRAP];
        assert_eq!(named.map(|signal| i32::from(signal.number())), numbers);
    }

    #[test]
    fn features_of_a_newer_kernel_are_kept() {
        let features = Features::decode(Read {
            words: [0b1111, 7, 0b1_0111, 5],
            more: true,
        });
        assert_eq!(features.modes().bits(), 0b1111);
        assert!(features.quiesce().contains(Quiesce::all()));
        assert_eq!(features.quiesce().to_string(), "VMSTAT | LRU | TICK | 0x10");
    }

    #[test]
    fn what_an_older_kernel_lacks_has_names() {
        let features = Features::decode(read([1, 3, 7, 0]));
        let config = Config::new(OnBreach::Strict(Signal::KILL))
            .with_flags(Flags::all())
            .with_quiesce(Quiesce::from_bits_retain(1 << 9));
        assert!(!features.allow(&config));
        assert_eq!(
            features.lacking(&config),
            ["the mode STRICT", "the flags NMI", "to quiesce 0x200"]
        );
        assert!(features.allow(&Config::default()));
    }
}
