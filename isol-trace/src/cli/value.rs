//! Values of options: CPU lists, times, sizes, numbers and names.

use std::{fmt, time::Duration};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::{
    attrib::SYMBOL_MEMORY,
    consume::{FORMATS, Format},
    event::{ids::Pid, signal::Signal},
    filter::{Filter, FilterError},
    host::cpu_list::{CpuListError, CpuSet},
};

/// Why a value is malformed; clap puts the option in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A CPU list.
    #[error(transparent)]
    CpuList(#[from] CpuListError),
    /// A CPU list without a CPU.
    #[error("the list names no CPU; a list looks like 1-3,5")]
    NoCpu,
    /// A number of a process.
    #[error("a process number is a whole number from 1")]
    Pid,
    /// A name of a thread that is empty.
    #[error("a thread's name is not empty")]
    EmptyComm,
    /// A name of a thread that no thread has.
    #[error("the kernel keeps {max} bytes of a thread's name; give the first {max}: '{0}'", max = Comm::MAX)]
    LongComm(String),
    /// Not a signal.
    #[error("a signal is a name or a number, such as KILL, SIGUSR1 or 10")]
    Signal,
    /// A signal that would not do.
    #[error(
        "a breach is answered with a signal that ends a program unless it handles it, such as KILL, TERM, USR1 or RTMIN, and {0} is none"
    )]
    HarmlessSignal(Signal),
    /// A time without a unit.
    #[error("a time has a unit: did you mean {0}s?")]
    NoUnit(String),
    /// Not a time at all.
    #[error("a time is a whole number with a unit (us, ms, s, m, h), such as 500ms, 60s or 10m")]
    Time,
    /// No time.
    #[error("a time of zero records nothing")]
    ZeroTime,
    /// More than a clock of nanoseconds holds.
    #[error("the time is too long; the longest is about 584 years")]
    LongTime,
    /// Not a size at all.
    #[error("a size is a whole number with a unit (K, M, G), such as 64K or 1M")]
    Size,
    /// A size that no ring can have.
    #[error("a ring's size is a power of two from {RING_MIN} to {RING_MAX}")]
    RingSize,
    /// No format of a report.
    #[error("there is no such format")]
    Format,
    /// No filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A filter that asks for what only a comparison of two logs tells.
    #[error("'new' needs a baseline to compare with, and there is none here")]
    NoBaseline,
    /// Too little to read any program with, or more than a machine has.
    #[error("memory for symbols is {SYMBOLS_MIN} at least, and {SYMBOLS_MAX} at most")]
    SymbolMemory,
}

/// A format of `report`, by its name.
#[must_use]
pub fn formats() -> impl TypedValueParser<Value = &'static Format> {
    let names = FORMATS
        .iter()
        .map(|it| PossibleValue::new(it.name).help(it.about));
    PossibleValuesParser::new(names).try_map(|name| {
        let format = FORMATS.iter().find(|it| it.name == name);
        format.ok_or(ValueError::Format)
    })
}

/// A filter, where there is no baseline.
pub fn filter(text: &str) -> Result<Filter, ValueError> {
    let filter: Filter = text.parse()?;
    if filter.asks_baseline() {
        return Err(ValueError::NoBaseline);
    }
    Ok(filter)
}

/// What those formats are.
#[must_use]
pub fn about_formats() -> String {
    let all: Vec<_> = FORMATS
        .iter()
        .map(|it| format!("{}, {}", it.name, it.about))
        .collect();
    format!("What to write: {}", all.join("; "))
}

/// A thread's name as the kernel keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Comm(String);

impl Comm {
    /// Bytes of a name: `TASK_COMM_LEN` less the terminating zero (include/linux/sched.h).
    pub const MAX: usize = 15;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as the kernel stores it, filled up with zeroes.
    #[must_use]
    pub fn padded(&self) -> [u8; Self::MAX + 1] {
        let mut bytes = [0; Self::MAX + 1];
        for (slot, byte) in bytes.iter_mut().zip(self.0.bytes()) {
            *slot = byte;
        }
        bytes
    }
}

/// The size of a ring: a power of two, within what a machine can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingSize(u32);

/// The smallest page there is.
const RING_MIN: RingSize = RingSize(4 << 10);
const RING_MAX: RingSize = RingSize(256 << 20);

impl RingSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl Default for RingSize {
    fn default() -> Self {
        Self(1 << 20)
    }
}

impl fmt::Display for RingSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1 << 20 {
            write!(f, "{}K", self.0 >> 10)
        } else {
            write!(f, "{}M", self.0 >> 20)
        }
    }
}

/// Memory for what is read of programs' files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SymbolMemory(u64);

/// With less, the process that reads them does not start.
const SYMBOLS_MIN: SymbolMemory = SymbolMemory(32 << 20);
const SYMBOLS_MAX: SymbolMemory = SymbolMemory(1 << 40);

impl SymbolMemory {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for SymbolMemory {
    fn default() -> Self {
        Self(SYMBOL_MEMORY)
    }
}

impl fmt::Display for SymbolMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1 << 30) {
            write!(f, "{}G", self.0 >> 30)
        } else {
            write!(f, "{}M", self.0 >> 20)
        }
    }
}

/// Reads a list of at least one CPU.
pub fn cpus(text: &str) -> Result<CpuSet, ValueError> {
    // A range without a beginning.
    if text.starts_with('-') {
        return Err(CpuListError::NotANumber(text.to_owned()).into());
    }
    let cpus: CpuSet = text.parse()?;
    if cpus.is_empty() {
        return Err(ValueError::NoCpu);
    }
    Ok(cpus)
}

/// Reads the number of a process.
pub fn pid(text: &str) -> Result<Pid, ValueError> {
    digits(text)
        .and_then(|()| text.parse().ok())
        // The kernel's number is a signed one.
        .filter(|&number| (1..=i32::MAX.unsigned_abs()).contains(&number))
        .map(Pid)
        .ok_or(ValueError::Pid)
}

/// Reads the name of a thread.
pub fn comm(text: &str) -> Result<Comm, ValueError> {
    if text.is_empty() {
        return Err(ValueError::EmptyComm);
    }
    if text.len() > Comm::MAX {
        let start = text.floor_char_boundary(Comm::MAX);
        return Err(ValueError::LongComm(text[..start].to_owned()));
    }
    Ok(Comm(text.to_owned()))
}

/// Reads the signal that strict mode answers a breach with.
pub fn signal(text: &str) -> Result<Signal, ValueError> {
    let signal = Signal::from_text(text).ok_or(ValueError::Signal)?;
    if signal.ends_a_program() {
        Ok(signal)
    } else {
        Err(ValueError::HarmlessSignal(signal))
    }
}

/// Reads a time.
pub fn time(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = number_and_unit(text).ok_or(ValueError::Time)?;
    let nanos_per_unit: u64 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err(ValueError::NoUnit(number.to_owned())),
        _ => return Err(ValueError::Time),
    };
    let nanos = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(nanos_per_unit))
        .ok_or(ValueError::LongTime)?;
    if nanos == 0 {
        return Err(ValueError::ZeroTime);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Reads the size of a ring.
pub fn ring_size(text: &str) -> Result<RingSize, ValueError> {
    let size = size(text, ValueError::RingSize)?;
    u32::try_from(size)
        .ok()
        .map(RingSize)
        .filter(|size| size.0.is_power_of_two() && (RING_MIN..=RING_MAX).contains(size))
        .ok_or(ValueError::RingSize)
}

/// Reads how much memory symbols may take.
pub fn symbol_memory(text: &str) -> Result<SymbolMemory, ValueError> {
    let size = SymbolMemory(size(text, ValueError::SymbolMemory)?);
    (SYMBOLS_MIN..=SYMBOLS_MAX)
        .contains(&size)
        .then_some(size)
        .ok_or(ValueError::SymbolMemory)
}

/// Reads a size in bytes; one that is beyond all numbers is `too_large`.
fn size(text: &str, too_large: ValueError) -> Result<u64, ValueError> {
    let (number, unit) = number_and_unit(text).ok_or(ValueError::Size)?;
    let shift = match unit {
        "" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(ValueError::Size),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or(too_large)
}

/// Splits off a unit; `None` where no digit stands in front.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `Some` where a text is digits alone.
fn digits(text: &str) -> Option<()> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_for_symbols_is_a_size_within_bounds() {
        let bytes = |text| symbol_memory(text).map(SymbolMemory::bytes);
        assert_eq!(bytes("256M").unwrap(), 256 << 20);
        assert_eq!(bytes("1G").unwrap(), 1 << 30);
        assert_eq!(SymbolMemory::default().to_string(), "256M");
        for text in ["1M", "0", "9999999G", "99999999999999999999"] {
            assert!(
                matches!(bytes(text), Err(ValueError::SymbolMemory)),
                "{text}"
            );
        }
        assert!(matches!(bytes("much"), Err(ValueError::Size)));
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(time("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(time("60"), Err(ValueError::NoUnit("60".to_owned())));
        assert_eq!(time("0s"), Err(ValueError::ZeroTime));
        for text in ["", "s", "1.5s", "-1s", "1 s", "1S", "1sec", "+1s"] {
            assert_eq!(time(text), Err(ValueError::Time), "{text}");
        }
        assert_eq!(time("99999999999h"), Err(ValueError::LongTime));
        assert_eq!(time("99999999999999999999s"), Err(ValueError::LongTime));
    }

    #[test]
    fn ring_sizes_are_powers_of_two_within_bounds() {
        assert_eq!(ring_size("64K").map(RingSize::bytes), Ok(64 << 10));
        assert_eq!(ring_size("4096").map(RingSize::bytes), Ok(4096));
        assert_eq!(ring_size("2MiB").map(RingSize::bytes), Ok(2 << 20));
        for text in ["0", "3K", "2K", "512M", "4G", "8G", "99999999999K"] {
            assert_eq!(ring_size(text), Err(ValueError::RingSize), "{text}");
        }
        for text in ["", "K", "1T", "1.5M", "-1K"] {
            assert_eq!(ring_size(text), Err(ValueError::Size), "{text}");
        }
        for text in ["4K", "64K", "1M", "256M"] {
            assert_eq!(ring_size(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_are_what_the_kernel_can_hold() {
        assert_eq!(
            comm("spin").unwrap().padded(),
            *b"spin\0\0\0\0\0\0\0\0\0\0\0\0"
        );
        assert_eq!(comm("fifteen-letters").unwrap().padded()[15], 0);
        assert_eq!(
            comm("sixteen-letters-"),
            Err(ValueError::LongComm("sixteen-letters".to_owned()))
        );
        // Cut between letters, not inside one.
        assert_eq!(
            comm("fourteen-bytesé"),
            Err(ValueError::LongComm("fourteen-bytes".to_owned()))
        );
        assert_eq!(comm(""), Err(ValueError::EmptyComm));
    }

    #[test]
    fn numbers_are_processes() {
        assert_eq!(pid("1"), Ok(Pid(1)));
        for text in ["0", "", "-1", "+1", "x", "2147483648", "99999999999"] {
            assert_eq!(pid(text), Err(ValueError::Pid), "{text}");
        }
    }

    #[test]
    fn a_list_names_a_cpu() {
        assert_eq!(cpus(""), Err(ValueError::NoCpu));
        assert_eq!(cpus("1-3:0/2"), Err(ValueError::NoCpu));
        assert!(cpus("1-3").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (cpus(&text), pid(&text), comm(&text), time(&text), ring_size(&text));
        }

        #[test]
        fn no_number_panics(text in "[0-9]{1,30}(us|ms|s|m|h|K|M|G)?") {
            let _ = (cpus(&text), pid(&text), time(&text), ring_size(&text));
        }
    }
}
