//! The embedded object and the shapes of its maps.

use isol_trace_common::{
    cause::Cause,
    config::{Control, Watch},
    ledger::{CauseTotals, Ledger},
    record::{FullEntry, MAX_ACTIVITIES},
    span::{CpuState, Phase},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::event::{ids::Cpu, model::Detection};

/// The programs.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/isol-trace.bpf.o"));

const STATE_WORDS: usize = size_of::<CpuState>() / 8;

/// A [`CpuState`] as the kernel hands it out.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct StateWords([u64; STATE_WORDS]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for StateWords {}

/// [`Control`] as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct ControlWords(pub(super) [u32; 2]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for ControlWords {}

impl From<Control> for ControlWords {
    fn from(control: Control) -> Self {
        let Control { armed, generation } = control;
        Self([armed, generation])
    }
}

const WATCH_WORDS: usize = size_of::<Watch>() / 8;

/// [`Watch`] as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct WatchWords([u64; WATCH_WORDS]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for WatchWords {}

impl From<&Watch> for WatchWords {
    fn from(watch: &Watch) -> Self {
        let mut words = [0; WATCH_WORDS];
        words.as_mut_bytes().copy_from_slice(watch.as_bytes());
        Self(words)
    }
}

/// Which word of a mask a CPU is in, and its bit there. CPUs beyond the mask have none.
fn bit(mask: &mut [u64], cpu: Cpu) -> Option<(&mut u64, u64)> {
    Some((mask.get_mut((cpu.0 / 64) as usize)?, 1 << (cpu.0 % 64)))
}

/// Sets or clears a CPU's bit.
fn set(mask: &mut [u64], cpu: Cpu, to: bool) {
    if let Some((word, bit)) = bit(mask, cpu) {
        *word = if to { *word | bit } else { *word & !bit };
    }
}

/// Says how the entries of a CPU are to be found. Before it is watched.
pub(super) fn detect(watch: &mut Watch, cpu: Cpu, detection: Detection) {
    set(&mut watch.vectors, cpu, detection == Detection::Vectors);
}

/// Watches a CPU, or no longer.
pub(super) fn watch_cpu(watch: &mut Watch, cpu: Cpu, watched: bool) {
    set(&mut watch.watched, cpu, watched);
}

/// What user space reads of a CPU's state.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where the CPU was.
    pub phase: Phase,
    /// The totals of all entries that have ended.
    pub ledger: Ledger,
    /// The entry under way or settling, where the phase says that there is one.
    pub entry: FullEntry<MAX_ACTIVITIES>,
    /// That entry is left out by a filter.
    pub filtered: bool,
}

impl StateWords {
    /// The same totals, with what was under way counted as open, and nothing else: for a CPU that
    /// is watched no longer and may be again. No program may be using the state.
    pub(super) fn retired(&self) -> Option<Self> {
        use std::mem::offset_of;

        const LEDGER: usize = offset_of!(CpuState, ledger) / 8;
        const CAUSES: usize = LEDGER + offset_of!(Ledger, causes) / 8;
        let snapshot = self.snapshot()?;
        let mut words = [0; STATE_WORDS];
        let totals = LEDGER..LEDGER + size_of::<Ledger>() / 8;
        words
            .get_mut(totals.clone())?
            .copy_from_slice(self.0.get(totals)?);
        let mut add = |word: usize| {
            if let Some(word) = words.get_mut(word) {
                *word += 1;
            }
        };
        if matches!(snapshot.phase, Phase::Open | Phase::Settling) {
            let number = snapshot.entry.entry.cause;
            add(LEDGER + offset_of!(Ledger, entries) / 8);
            if Cause::from_wire(number).unwrap_or(Cause::Unknown) == Cause::Unknown {
                add(LEDGER + offset_of!(Ledger, unattributed) / 8);
            }
            if snapshot.filtered {
                add(LEDGER + offset_of!(Ledger, filtered) / 8);
            } else {
                let cause = CAUSES + usize::from(number) * (size_of::<CauseTotals>() / 8);
                add(LEDGER + offset_of!(Ledger, open) / 8);
                add(cause + offset_of!(CauseTotals, count) / 8);
                add(cause + offset_of!(CauseTotals, untimed) / 8);
            }
        }
        Some(Self(words))
    }

    /// Takes the snapshot apart. `None` only if the layouts differed, which the wire version rules out.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        use std::mem::offset_of;

        let bytes = zerocopy::IntoBytes::as_bytes(self.0.as_slice());
        let word = |at: usize| {
            u32::read_from_prefix(bytes.get(at..)?)
                .ok()
                .map(|(word, _)| word)
        };
        let phase = match word(offset_of!(CpuState, phase))? {
            0 => Phase::Closed,
            1 => Phase::Open,
            2 => Phase::Settling,
            _ => Phase::Busy,
        };
        let notes = word(offset_of!(CpuState, notes))?;
        let (ledger, _) =
            Ledger::read_from_prefix(bytes.get(offset_of!(CpuState, ledger)..)?).ok()?;
        let (entry, _) =
            FullEntry::read_from_prefix(bytes.get(offset_of!(CpuState, entry)..)?).ok()?;
        let filtered = notes & isol_trace_common::span::NOTE_FILTERED != 0;
        Some(Snapshot {
            phase,
            ledger,
            entry,
            filtered,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::stats::summary::cpu_summary;

    /// A state in which a breach has ended and another entry is under way.
    fn state(phase: Phase, cause: Cause, notes: u32) -> StateWords {
        let mut words = [0; STATE_WORDS];
        words[0] = phase as u64;
        words[offset_of!(CpuState, notes) / 8] |= u64::from(notes) << 32;
        words[offset_of!(CpuState, entry) / 8] = (cause as u64) << 8;
        let ledger = offset_of!(CpuState, ledger) / 8;
        words[ledger] = 1;
        let causes = ledger + offset_of!(Ledger, causes) / 8;
        words[causes + Cause::Syscall as usize * (size_of::<CauseTotals>() / 8)] = 1;
        StateWords(words)
    }

    #[test]
    fn a_retired_state_keeps_the_totals_and_counts_what_was_under_way() {
        let filtered = isol_trace_common::span::NOTE_FILTERED;
        for (phase, cause, notes) in [
            (Phase::Closed, Cause::Syscall, 0),
            (Phase::Open, Cause::Syscall, 0),
            (Phase::Open, Cause::Unknown, 0),
            (Phase::Settling, Cause::Nmi, 0),
            (Phase::Open, Cause::Syscall, filtered),
        ] {
            let before = state(phase, cause, notes);
            let after = before.retired().unwrap();
            let summary = |state: &StateWords| cpu_summary(Cpu(1), &state.snapshot().unwrap());
            assert_eq!(summary(&before), summary(&after), "{phase:?} {cause:?}");
            assert!(summary(&after).balances(1), "{:?}", summary(&after));
            assert_eq!(after.snapshot().unwrap().phase, Phase::Closed);
            // Once more: it is counted once.
            let again = after.retired().unwrap();
            assert_eq!(summary(&again), summary(&after));
        }
    }

    #[test]
    fn masks_have_a_bit_for_each_cpu() {
        let mut watch = Watch::NONE;
        detect(&mut watch, Cpu(65), Detection::Vectors);
        detect(&mut watch, Cpu(2), Detection::ContextTracking);
        watch_cpu(&mut watch, Cpu(65), true);
        watch_cpu(&mut watch, Cpu(2), true);
        assert_eq!((watch.watched[0], watch.watched[1]), (1 << 2, 1 << 1));
        assert_eq!((watch.vectors[0], watch.vectors[1]), (0, 1 << 1));
        watch_cpu(&mut watch, Cpu(2), false);
        detect(&mut watch, Cpu(65), Detection::ContextTracking);
        assert_eq!((watch.watched[0], watch.vectors[1]), (0, 0));
        watch_cpu(&mut watch, Cpu(u32::MAX), true);
    }
}
