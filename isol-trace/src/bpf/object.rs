//! The embedded object and the shapes of its maps.

use isol_trace_common::{
    config::Control,
    ledger::Ledger,
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

impl StateWords {
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
