//! The embedded object and the shapes of its maps.

use isol_trace_common::{
    cause::Cause,
    config::Control,
    kill::{ENTRY_WORDS, HISTORY_ENTRIES, OverflowHistory},
    ledger::{CauseTotals, Ledger},
    record::{FullEntry, MAX_ACTIVITIES},
    span::{CpuState, Phase},
};
use zerocopy::FromBytes as _;

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

/// [`OverflowHistory`] as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct HistoryWords([u64; size_of::<OverflowHistory>() / 8]);

// SAFETY: plain words without padding.
unsafe impl aya::Pod for HistoryWords {}

impl HistoryWords {
    /// The entries, the oldest first.
    pub(super) fn in_order(&self) -> Vec<[u64; ENTRY_WORDS]> {
        let Some((&count, entries)) = self.0.split_first() else {
            return Vec::new();
        };
        let (entries, _) = entries.as_chunks::<ENTRY_WORDS>();
        let first = count.saturating_sub(HISTORY_ENTRIES as u64);
        (first..count)
            .filter_map(|number| {
                let place = usize::try_from(number % HISTORY_ENTRIES as u64).ok()?;
                entries.get(place).copied()
            })
            .collect()
    }
}

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

impl Snapshot {
    /// The cause so far of the entry under way, where there is one.
    #[must_use]
    pub fn under_way(&self) -> Option<Cause> {
        matches!(self.phase, Phase::Open | Phase::Settling)
            .then(|| Cause::from_wire(self.entry.entry.cause).unwrap_or(Cause::Unknown))
    }
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
        if let Some(cause) = snapshot.under_way() {
            add(LEDGER + offset_of!(Ledger, entries) / 8);
            if cause == Cause::Unknown {
                add(LEDGER + offset_of!(Ledger, unattributed) / 8);
            }
            if snapshot.filtered {
                add(LEDGER + offset_of!(Ledger, filtered) / 8);
            } else {
                let cause = CAUSES + cause as usize * (size_of::<CauseTotals>() / 8);
                add(LEDGER + offset_of!(Ledger, open) / 8);
                add(cause + offset_of!(CauseTotals, count) / 8);
                add(cause + offset_of!(CauseTotals, untimed) / 8);
            }
        }
        Some(Self(words))
    }

    /// The same where the entry under way is the call that begins or ends a section.
    #[cfg(test)]
    pub(super) fn in_section_call(mut self, operation: u64) -> Self {
        use std::mem::offset_of;

        use isol_trace_common::span::{EntryCells, NOTE_SECTION_CALL};
        // The upper half of its word.
        const NOTES: usize = offset_of!(CpuState, notes);
        const { assert!(NOTES % 8 == 4) };
        self.0[NOTES / 8] |= u64::from(NOTE_SECTION_CALL) << 32;
        let arguments = offset_of!(CpuState, entry) + offset_of!(EntryCells, args);
        self.0[arguments / 8 + 1] = operation;
        self
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
    use crate::{event::ids::Cpu, stats::summary::cpu_summary};

    #[test]
    fn entries_are_remembered_in_the_order_in_which_they_came() {
        let mut words = [0; size_of::<OverflowHistory>() / 8];
        let read = |words| HistoryWords(words).in_order();
        assert!(read(words).is_empty());
        for number in 0..11_usize {
            words[0] = number as u64 + 1;
            let place = 1 + number % HISTORY_ENTRIES * ENTRY_WORDS;
            words[place] = number as u64;
            let first: Vec<_> = read(words).iter().map(|entry| entry[0]).collect();
            let expected: Vec<_> = (0..=number as u64).collect();
            let skipped = expected.len().saturating_sub(HISTORY_ENTRIES);
            assert_eq!(first, expected[skipped..], "after {number}");
        }
    }

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
}
