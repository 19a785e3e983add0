//! Numbers that cannot be mixed up.

use std::fmt;

/// Declares a transparent number type.
macro_rules! number {
    ($(#[$outer:meta])* $name:ident($inner:ty)) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
    };
}

number!(
    /// A CPU's number.
    Cpu(u32)
);
number!(
    /// A process: the number that user space calls pid, the kernel tgid.
    Pid(u32)
);
number!(
    /// A thread: the number that user space calls tid, the kernel pid.
    Tid(u32)
);
number!(
    /// A length of time in nanoseconds.
    Nanos(u64)
);
number!(
    /// A point in time: `CLOCK_MONOTONIC`, nanoseconds.
    MonoNanos(u64)
);
number!(
    /// The number of a breach in its log, from 1.
    Seq(u64)
);

/// An address, user's or kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
