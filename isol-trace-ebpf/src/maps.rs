//! Every map, and the read-only configuration.

use core::{
    cell::{Cell, UnsafeCell},
    ptr::addr_of,
};

use aya_ebpf::{
    btf_maps::{ArrayOfMaps, RingBuf},
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use isol_trace_common::{
    config::{
        Config, Control, MASK_WORDS, MAX_THREADS, RING_SLOTS, SECTIONS_TOGETHER, SENDERS_SLOT,
        Watch,
    },
    kill::{OverflowHistory, Signalled, Strike},
    span::{CpuState, away::Away},
};

use crate::context::this_cpu;

/// What user space decided before loading. The verifier sees the values and drops what is switched off.
// SAFETY: the loader finds globals by their symbol; the name is used once.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::EMPTY;

/// [`Watch`] in a map of its own, which user space writes to.
#[repr(transparent)]
struct Watching(Cell<Watch>);

// SAFETY: programs only read it, a whole word at a time.
unsafe impl Sync for Watching {}

/// Which CPUs are watched.
// SAFETY: the loader makes a map of the section; nothing else is put there.
#[unsafe(link_section = ".data.watch")]
static WATCH: Watching = Watching(Cell::new(Watch::NONE));

/// A [`CpuState`] in a map.
#[repr(transparent)]
pub(crate) struct Shared(CpuState);

// SAFETY: each CPU changes only its own state, save for the flags `migrated` and
// `asleep`, the thread that was looked up last and the one whose parent was recorded last, plain words that another CPU may set or clear; how programs of one CPU take turns is the span machine's matter.
unsafe impl Sync for Shared {}

/// One state per CPU number; user space sizes it to the possible CPUs.
#[map]
static STATES: Array<Shared> = Array::with_max_entries(1, 0);

/// One ring per watched CPU, put in by user space, one for what all others send, and one slot
/// that nobody writes to. The inner type only carries the kind of map.
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingBuf<u64, 4096>, { RING_SLOTS as usize }> =
    ArrayOfMaps::new();

/// The switch, and the generation of names and sections.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Tasks whose entry ended while another task ran, by thread: 8 MB. All threads that have run on a
/// watched CPU and sleep are in it.
#[map]
pub(crate) static AWAY: HashMap<u32, Away> = HashMap::with_max_entries(65_536, 0);

/// The isolated section of each thread that there can be, [`SECTIONS_TOGETHER`] in one value (the kernel
/// rounds values up to eight bytes): nobody can fill it. 8 MiB.
#[map]
pub(crate) static SECTIONS: Array<[u16; SECTIONS_TOGETHER as usize]> =
    Array::with_max_entries(MAX_THREADS / SECTIONS_TOGETHER, 0);

/// Threads that our strict mode is for: the command's, and of what it forked.
#[map]
pub(crate) static STRICT: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Threads that strict mode has struck and whose signal is to come.
#[map]
pub(crate) static STRIKES: HashMap<u32, Strike> = HashMap::with_max_entries(1024, 0);

/// Who sent a process its last signal that could end it.
#[map]
pub(crate) static SIGNALLED: LruHashMap<u32, Signalled> = LruHashMap::with_max_entries(1024, 0);

/// A [`OverflowHistory`] in a map.
#[repr(transparent)]
pub(crate) struct HistoryCell(UnsafeCell<OverflowHistory>);

// SAFETY: each CPU changes only its own, and only where it closes a span: programs of one CPU do
// not close spans inside one another.
unsafe impl Sync for HistoryCell {}

impl HistoryCell {
    /// Where it is.
    #[inline(always)]
    pub(crate) const fn get(&self) -> *mut OverflowHistory {
        self.0.get()
    }
}

/// The last entries of each CPU whose records found no room; user space sizes it to the possible CPUs.
#[map]
pub(crate) static OVERFLOW_HISTORY: Array<HistoryCell> = Array::with_max_entries(1, 0);

/// Watched processes, where there is a filter.
#[map]
pub(crate) static PIDS: HashMap<u32, u32> = HashMap::with_max_entries(256, 0);

/// Watched names, where there is a filter.
#[map]
pub(crate) static COMMS: HashMap<[u64; 2], u32> = HashMap::with_max_entries(256, 0);

/// Interrupts that the tracer's own process sent to watched CPUs.
#[map]
pub(crate) static OWN_SENDS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What was asked of watched CPUs, or moved between CPUs, and did not fit its ring.
#[map]
pub(crate) static LOST_SENDS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// User stacks of senders that were left out, their ring being half full.
#[map]
pub(crate) static LOST_STACKS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Reads one field of the configuration. Each read is of a constant offset into a frozen
/// map, which the verifier resolves to a constant.
macro_rules! config {
    ($($field:ident).+ $([$index:expr])?) => {
        // SAFETY: CONFIG is initialised, and user space replaces it only before loading.
        unsafe { core::ptr::addr_of!($crate::maps::config_ptr().as_ref_unchecked().$($field).+ $([$index])?).read_volatile() }
    };
}
pub(crate) use config;

/// Where the configuration lies.
#[inline(always)]
pub(crate) fn config_ptr() -> *const Config {
    addr_of!(CONFIG)
}

#[inline(always)]
fn in_mask(mask: *const [u64; MASK_WORDS], cpu: u32) -> bool {
    let word = (cpu / 64) as usize;
    if word >= MASK_WORDS {
        return false;
    }
    // SAFETY: `word` is within the mask.
    let word = unsafe { mask.cast::<u64>().add(word).read_volatile() };
    word >> (cpu % 64) & 1 != 0
}

/// Whether this CPU is watched.
#[inline(always)]
pub(crate) fn is_watched(cpu: u32) -> bool {
    // SAFETY: the pointer is of a static.
    in_mask(unsafe { addr_of!((*WATCH.0.as_ptr()).watched) }, cpu)
}

/// Where a CPU leaves what is not of its own entries: its own ring, or the one of all others.
#[inline(always)]
pub(crate) fn ring_slot(cpu: u32) -> u32 {
    if is_watched(cpu) { cpu } else { SENDERS_SLOT }
}

/// Whether the entries of this CPU are derived from vectors.
#[inline(always)]
pub(crate) fn is_derived(cpu: u32) -> bool {
    // SAFETY: the pointer is of a static.
    in_mask(unsafe { addr_of!((*WATCH.0.as_ptr()).vectors) }, cpu)
}

/// The switch, if it is on.
#[inline(always)]
pub(crate) fn armed() -> Option<&'static Control> {
    let control = CONTROL.get(0)?;
    // SAFETY: user space stores the word while programs run; a plain word is read whole.
    let on = unsafe { addr_of!(control.armed).read_volatile() };
    (on != 0).then_some(control)
}

/// The state of this CPU, if it is watched and the switch is on.
#[inline(always)]
pub(crate) fn watched_state() -> Option<&'static CpuState> {
    let cpu = this_cpu();
    if !is_watched(cpu) {
        return None;
    }
    armed()?;
    state_of(cpu)
}

/// The state of a CPU.
#[inline(always)]
pub(crate) fn state_of(cpu: u32) -> Option<&'static CpuState> {
    STATES.get(cpu).map(|shared| &shared.0)
}

/// Adds one to a counter that each CPU keeps for itself.
#[inline(always)]
pub(crate) fn count(counter: &PerCpuArray<u64>) {
    if let Some(count) = counter.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's own.
        unsafe { *count += 1 };
    }
}
