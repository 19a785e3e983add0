//! The kernel's own record of what is mapped, as `perf record` has it: one event on each CPU that counts
//! nothing, and a ring that the kernel writes side-band records to.
//!
//! What that means for a CPU, by `kernel/events/core.c` and `ring_buffer.c` (v6.1 and v6.12 alike):
//!
//! - Opening and closing an event interrupts its CPU (`perf_install_in_context`,
//!   `perf_remove_from_context`): before arming and after disarming.
//! - Only an event with a frequency, or one that overflows, keeps the tick (`account_freq_event`,
//!   `__perf_event_account_interrupt`). This one has no frequency and never overflows.
//! - Only events of a task or of context switches have work done at a switch (`account_event`: `inc`). This is neither.
//! - A record is written by who forks, executes, maps or ends, on its own CPU, in its system call.
//! - A wake-up is an interrupt that the CPU sends itself (`perf_output_wakeup`: `irq_work_queue`), whenever
//!   so many bytes were written since the last one, read or not. So many are at most the ring
//!   (`ring_buffer_init`), which is what is asked for: once in some 2000 records, inside the system call of
//!   the task that writes. Nobody waits for it. (With `PREEMPT_RT` it wakes the CPU's `irq_work` thread:
//!   `kernel/irq_work.c:__irq_work_queue_local`.) A task that maps nothing and starts nothing has none.
//! - While any such event is open, each `mmap` of a file has its path looked up, on every CPU
//!   (`perf_event_mmap_event`).

use std::io;

use perf_event::{Builder, Clock, SampleFlag, Sampler, events::Software};

use super::act::{self, Act};
use crate::{
    clock::monotonic,
    event::ids::{Cpu, MonoNanos},
};

/// Bytes of a ring: on a busy host programs start one after the other, and the tracer may be late by tens of milliseconds.
const RING: usize = 256 << 10;

/// Bytes of all rings, as far as none is smaller than [`SMALLEST`]: 16 CPUs have rings of the full size, 256 and
/// more have the smallest.
const ALL_RINGS: usize = 4 << 20;

/// A program that starts leaves some 2 KiB.
const SMALLEST: usize = 16 << 10;

/// Records taken from a ring in one turn: more than it can hold at its beginning, since the shortest has 56 bytes.
const TURN: usize = RING / 56 + 1;

/// More than a record has: a path of 4096 bytes, and some 100 besides (`kernel/events/core.c:perf_event_mmap_event`, v6.12).
const LARGEST: usize = 8 << 10;

/// What a record takes that tells of an `execve`, with the one before it that tells of a loss: 104 bytes, and some besides
/// (`kernel/events/core.c:perf_event_comm_event`, `kernel/events/ring_buffer.c:__perf_output_begin`, v6.12).
const EXECUTES: usize = 256;

/// The event of a CPU.
pub(super) struct Ring {
    event: Sampler,
    whole: Whole,
}

/// Until when nothing of a ring was lost that its records have not told.
#[derive(Debug)]
struct Whole {
    /// So many bytes leave room for any record.
    room: usize,
    /// So many leave room for one that tells of an `execve`.
    almost_full: usize,
    until: MonoNanos,
    /// It may have been full since. The kernel tells that with the next record that finds room.
    may_have_lost: bool,
}

impl Whole {
    /// A ring of so many bytes is new.
    const fn new(bytes: usize, now: MonoNanos) -> Self {
        Self {
            room: bytes.saturating_sub(LARGEST),
            almost_full: bytes.saturating_sub(EXECUTES),
            until: now,
            may_have_lost: false,
        }
    }

    /// A record was read.
    fn read(&mut self, at: MonoNanos) {
        self.until = self.until.max(at);
    }

    /// So many bytes were read, beginning at a moment, and behind them there was nothing. There were never more in the ring
    /// since it was emptied the last time. Whether an `execve` may be among what was lost.
    fn emptied(&mut self, began: MonoNanos, bytes: usize) -> bool {
        if bytes > self.room {
            self.may_have_lost = true;
        } else if bytes > 0 || !self.may_have_lost {
            self.may_have_lost = false;
            self.until = self.until.max(began);
        }
        bytes > self.almost_full
    }

    /// It could not be emptied.
    const fn not_emptied(&mut self) {
        self.may_have_lost = true;
    }
}

/// What each event is asked to be.
pub(super) fn attributes<'a>() -> Builder<'a> {
    let mut builder = Builder::new(Software::DUMMY);
    builder
        .any_pid()
        .enabled(true)
        .mmap(true)
        .mmap2(true)
        .task(true)
        .comm(true)
        .comm_exec(true)
        .sample(SampleFlag::TID | SampleFlag::TIME | SampleFlag::CPU)
        .sample_id_all(true)
        .clockid(Clock::MONOTONIC)
        .wakeup_watermark(u32::MAX as usize);
    builder
}

/// Bytes of each ring where there are so many CPUs: a power of two.
const fn ring_bytes(cpus: usize) -> usize {
    let mut bytes = RING;
    while bytes > SMALLEST && bytes * cpus > ALL_RINGS {
        bytes /= 2;
    }
    bytes
}

/// Opens an event on each of these CPUs, save those that went offline meanwhile.
pub(super) fn open(cpus: &[Cpu]) -> io::Result<Vec<Ring>> {
    let mut rings = Vec::with_capacity(cpus.len());
    let bytes = ring_bytes(cpus.len());
    let now = monotonic();
    for cpu in cpus {
        let mut builder = attributes();
        builder.one_cpu(cpu.0 as usize);
        match builder.build() {
            Ok(event) => rings.push(Ring {
                event: event.sampled(bytes)?,
                whole: Whole::new(bytes, now),
            }),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rings)
}

/// A record as it was in the ring: what is taken from there has its header apart.
pub(super) fn with_header(kind: u32, misc: u16, data: &[u8]) -> Vec<u8> {
    let length = size_of_val(&kind) + 2 * size_of_val(&misc) + data.len();
    // It was such a field.
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let mut record = kind.to_ne_bytes().to_vec();
    record.extend(misc.to_ne_bytes());
    record.extend(length.to_ne_bytes());
    record.extend(data);
    record
}

impl Ring {
    /// Takes what is there. A record that cannot be read counts as lost, `now`. Where the ring was full, records may have been
    /// lost, whether the kernel comes to tell that or not.
    pub(super) fn drain(&mut self, now: MonoNanos, mut take: impl FnMut(MonoNanos, Act)) {
        let config = self.event.config().clone();
        let mut read = 0;
        for _ in 0..TURN {
            let since = self.whole.until;
            let Some(record) = self.event.next_record() else {
                if self.whole.emptied(now, read) {
                    take(before(now), Act::Lost { records: 0, since });
                }
                return;
            };
            let bytes = with_header(record.ty(), record.misc(), &record.to_contiguous());
            read += bytes.len();
            match act::parse(&bytes, config.clone()) {
                Ok(None) => {}
                Ok(Some((at, act))) => {
                    self.whole.read(at);
                    take(
                        at,
                        match act {
                            Act::Lost { records, .. } => Act::Lost { records, since },
                            act => act,
                        },
                    );
                }
                Err(_) => take(now, Act::Lost { records: 1, since }),
            }
        }
        let since = self.whole.until;
        self.whole.not_emptied();
        take(before(now), Act::Lost { records: 0, since });
    }
}

/// The moment before: what comes then is told in this turn.
const fn before(now: MonoNanos) -> MonoNanos {
    MonoNanos(now.0.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_of_large_hosts_are_smaller() {
        assert_eq!(ring_bytes(1), 256 << 10);
        assert_eq!(ring_bytes(16), 256 << 10);
        assert_eq!(ring_bytes(64), 64 << 10);
        assert_eq!(ring_bytes(65), 32 << 10);
        assert_eq!(ring_bytes(256), 16 << 10);
        assert_eq!(ring_bytes(4096), 16 << 10);
    }

    #[test]
    fn a_ring_that_had_room_for_more_has_lost_nothing() {
        let mut whole = Whole::new(16 << 10, MonoNanos(1));
        let until = |whole: &Whole| whole.until.0;
        whole.emptied(MonoNanos(5), 0);
        assert_eq!(until(&whole), 5);
        whole.read(MonoNanos(7));
        whole.emptied(MonoNanos(8), 8 << 10);
        assert_eq!(until(&whole), 8);
        whole.read(MonoNanos(10));
        whole.emptied(MonoNanos(12), (8 << 10) + 1);
        assert_eq!(until(&whole), 10, "it may have been full");
        whole.emptied(MonoNanos(13), 0);
        assert_eq!(until(&whole), 10, "and nothing tells yet");
        whole.emptied(MonoNanos(15), 56);
        assert_eq!(until(&whole), 15);
        whole.not_emptied();
        whole.emptied(MonoNanos(16), 0);
        assert_eq!(until(&whole), 15);
    }

    /// The kernel tells of a loss with the next record that finds room, and there may be none.
    #[test]
    fn a_ring_that_was_full_may_have_lost_an_execve() {
        let mut whole = Whole::new(16 << 10, MonoNanos(1));
        assert!(!whole.emptied(MonoNanos(5), (16 << 10) - EXECUTES));
        assert!(whole.emptied(MonoNanos(6), (16 << 10) - EXECUTES + 1));
        assert!(!whole.emptied(MonoNanos(7), 0), "it was told");
    }

    #[test]
    fn nothing_that_keeps_the_tick_or_wakes_is_asked_for() {
        let builder = attributes();
        let asked = builder.attrs();
        assert_eq!((asked.type_, asked.config), (1, 9), "a dummy");
        assert_eq!((asked.freq(), asked.context_switch()), (0, 0));
        assert_eq!((asked.disabled(), asked.inherit()), (0, 0));
        assert_eq!((asked.mmap(), asked.mmap2(), asked.build_id()), (1, 1, 0));
        assert_eq!((asked.comm_exec(), asked.task()), (1, 1));
        assert_eq!(asked.watermark(), 1);
    }
}
