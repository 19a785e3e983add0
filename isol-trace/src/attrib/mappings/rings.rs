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
use crate::event::ids::{Cpu, MonoNanos};

/// Bytes of a ring: on a busy host programs start one after the other, and the tracer may be late by tens of milliseconds.
const RING: usize = 256 << 10;

/// Bytes of all rings, as far as none is smaller than [`SMALLEST`]: 16 CPUs have rings of the full size, 256 and
/// more have the smallest.
const ALL_RINGS: usize = 4 << 20;

/// A program that starts leaves some 2 KiB.
const SMALLEST: usize = 16 << 10;

/// Records taken from a ring in one turn: more than it can hold at its beginning, since the shortest has 56 bytes.
const TURN: usize = RING / 56 + 1;

/// The event of a CPU.
pub(super) struct Ring(Sampler);

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
    for cpu in cpus {
        let mut builder = attributes();
        builder.one_cpu(cpu.0 as usize);
        match builder.build() {
            Ok(event) => rings.push(Ring(event.sampled(ring_bytes(cpus.len()))?)),
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
    /// Takes what is there. A record that cannot be read counts as lost, `now`.
    pub(super) fn drain(&mut self, now: MonoNanos, mut take: impl FnMut(MonoNanos, Act)) {
        let config = self.0.config().clone();
        for _ in 0..TURN {
            let Some(record) = self.0.next_record() else {
                return;
            };
            let bytes = with_header(record.ty(), record.misc(), &record.to_contiguous());
            match act::parse(&bytes, config.clone()) {
                Ok(None) => {}
                Ok(Some((at, act))) => take(at, act),
                Err(_) => take(now, Act::Lost { records: 1 }),
            }
        }
    }
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
