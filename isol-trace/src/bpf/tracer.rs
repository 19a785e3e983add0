//! Load, attach inert, arm with one store, drain, disarm, detach.
//!
//! Attaching patches kernel text, which interrupts every CPU
//! (`smp_text_poke_sync_each_cpu`, arch/x86/kernel/alternative.c), so all of it comes
//! before arming and all detaching after disarming. Dropping a [`Tracer`] detaches
//! everything; a killed process leaves nothing either, since the kernel owns no link
//! whose descriptor is gone.

use std::{ops::ControlFlow, os::fd::AsFd as _};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, MapData, PerCpuArray, RingBuf},
    programs::Program,
};
use isol_trace_common::{
    config::{BARRIER_SLOT, Control, SENDERS_SLOT},
    kill::ENTRY_WORDS,
};
use zerocopy::IntoBytes as _;

use super::{
    attach::{Step, attach},
    btf::KernelTypes,
    error::TracerError,
    functions::LinkedObject,
    object::{ControlWords, HistoryWords, OBJECT, Snapshot, StateWords},
    probe_selection::{check_essential, exists, wanted},
    program_info::{self, Statistics},
    request::{Request, configure, fill_filters},
    rings::{MIN_RING_BYTES, create_ring_map, make_ring, take_map},
    senders::SendersRing,
    watch::WatchedMask,
};
use crate::event::{
    ids::{Cpu, Nanos},
    model::{Detection, ProbeState, ProbeVerdict, ProgramRuns},
};

/// Programs, maps and rings of a running trace.
pub struct Tracer {
    ebpf: Ebpf,
    /// Of every CPU that was ever watched.
    rings: Vec<(Cpu, RingBuf<MapData>)>,
    /// What CPUs that are not watched asked of watched ones.
    senders: SendersRing,
    states: Array<MapData, StateWords>,
    control: Array<MapData, ControlWords>,
    own_sends: PerCpuArray<MapData, u64>,
    lost_sends: PerCpuArray<MapData, u64>,
    lost_stacks: PerCpuArray<MapData, u64>,
    overflow_history: Array<MapData, HistoryWords>,
    outer: ArrayOfMaps<MapData, MapData>,
    /// Which CPUs the programs watch.
    watch: WatchedMask,
    ring_bytes: u32,
    /// Breaches are answered with a signal.
    strict: bool,
    verdicts: Vec<ProbeVerdict>,
    attached: Vec<(&'static str, &'static str)>,
    generation: u32,
    /// A ring that no program writes to; see [`Tracer::disarm`].
    barrier: MapData,
    statistics: Option<Statistics>,
}

/// What a poll of the rings finds.
#[derive(Clone, Copy, Debug)]
pub enum Drained<'a> {
    /// A record in the ring of this CPU.
    Record(Cpu, &'a [u8]),
    /// The ring of the last record may have more than one batch.
    Limit,
}

/// Records that the commands take from one ring in a poll, before they read the next ring; see
/// [`Tracer::drain`].
pub const BATCH: usize = 4_096;

/// Bytes of the ring of senders: 3,000 of their records.
const SENDERS_RING_BYTES: u32 = 1 << 20;

/// The same where they leave their user stacks: half of it holds 460 of them and their records.
const STACKS_RING_BYTES: u32 = 4 << 20;

impl Tracer {
    /// Loads the programs and attaches them, inert. That takes a second on a fast host and most of a minute on
    /// a slow one: `progress` hears of each probe, and may break it off.
    pub fn attach(
        request: &Request,
        types: &KernelTypes,
        mut progress: impl FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Self, TracerError> {
        let mut tracer = Self::load(request, types)?;
        tracer.attach_all(&request.watched, types, |_, step| progress(step))?;
        if request.statistics {
            tracer.statistics = Some(Statistics::enable().map_err(TracerError::Statistics)?);
        }
        Ok(tracer)
    }

    /// Creates the maps and rings. No program is loaded yet.
    fn load(request: &Request, types: &KernelTypes) -> Result<Self, TracerError> {
        let config = configure(request, types);
        let mut ebpf = EbpfLoader::new()
            .override_global("CONFIG", config.as_bytes(), true)
            .map_max_entries("STATES", request.possible_cpus)
            .map_max_entries("OVERFLOW_HISTORY", request.possible_cpus)
            .load(LinkedObject::new(OBJECT, types, request.execution).bytes())?;
        fill_filters(&mut ebpf, request)?;
        let mut outer: ArrayOfMaps<MapData, MapData> = take_map(&mut ebpf, "RINGS")?;
        let watch = WatchedMask::take(&mut ebpf)?;
        let bytes = if request.user_stacks {
            STACKS_RING_BYTES
        } else {
            SENDERS_RING_BYTES
        };
        let senders = SendersRing::new(make_ring(&mut outer, SENDERS_SLOT, bytes)?)
            .map_err(TracerError::Senders)?;
        let states = take_map(&mut ebpf, "STATES")?;
        let control = take_map(&mut ebpf, "CONTROL")?;
        let own_sends = take_map(&mut ebpf, "OWN_SENDS")?;
        let lost_sends = take_map(&mut ebpf, "LOST_SENDS")?;
        let lost_stacks = take_map(&mut ebpf, "LOST_STACKS")?;
        let overflow_history = take_map(&mut ebpf, "OVERFLOW_HISTORY")?;
        let mut tracer = Self {
            ebpf,
            rings: Vec::new(),
            senders,
            states,
            control,
            own_sends,
            lost_sends,
            lost_stacks,
            overflow_history,
            outer,
            watch,
            ring_bytes: request.ring_bytes,
            strict: request.strict.is_some(),
            verdicts: Vec::new(),
            attached: Vec::new(),
            generation: 1,
            barrier: create_ring_map(MIN_RING_BYTES)?,
            statistics: None,
        };
        tracer.watch_more(&request.watched)?;
        Ok(tracer)
    }

    /// Makes the programs watch more CPUs.
    fn watch_more(&mut self, cpus: &[(Cpu, Detection)]) -> Result<(), TracerError> {
        for &(cpu, _) in cpus {
            if self.rings.iter().all(|(known, _)| *known != cpu) {
                let ring = make_ring(&mut self.outer, cpu.0, self.ring_bytes)?;
                self.rings.push((cpu, ring));
            }
        }
        self.rings.sort_unstable_by_key(|(cpu, _)| *cpu);
        self.watch.add(cpus)
    }

    /// Watches more CPUs in a running trace. Probes that only their detection wants are attached
    /// now, and their verdicts returned. After each of them `between` has its turn: rings fill
    /// meanwhile.
    pub fn watch(
        &mut self,
        cpus: &[(Cpu, Detection)],
        types: &KernelTypes,
        mut between: impl FnMut(&mut Self),
    ) -> Result<Vec<ProbeVerdict>, TracerError> {
        let known = self.verdicts.len();
        self.attach_all(cpus, types, |tracer, _| {
            between(tracer);
            ControlFlow::Continue(())
        })?;
        self.watch_more(cpus)?;
        Ok(self.verdicts.get(known..).unwrap_or_default().to_vec())
    }

    /// Watches some CPUs no longer. Their totals stay, and what is under way there counts as open.
    pub fn unwatch(&mut self, cpus: &[Cpu]) -> Result<(), TracerError> {
        self.watch.remove(cpus)?;
        self.wait_for_programs()?;
        for &cpu in cpus {
            let failed = |source| TracerError::Map {
                name: "STATES",
                source,
            };
            let state = self.states.get(&cpu.0, 0).map_err(failed)?;
            let retired = state.retired().ok_or(TracerError::NoMap("STATES"))?;
            self.states.set(cpu.0, retired, 0).map_err(failed)?;
        }
        self.watch.forget_away(cpus)
    }

    fn attach_all(
        &mut self,
        cpus: &[(Cpu, Detection)],
        types: &KernelTypes,
        mut between: impl FnMut(&mut Self, Step) -> ControlFlow<()>,
    ) -> Result<(), TracerError> {
        let new: Vec<_> = wanted(cpus, types, self.strict)
            .filter(|probe| self.verdicts.iter().all(|known| known.name != probe.name))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let btf = Btf::from_sys_fs()?;
        let of = new.len();
        for (done, probe) in new.into_iter().enumerate() {
            if between(self, Step { done, of }).is_break() {
                return Err(TracerError::BrokenOff);
            }
            let state = match exists(probe, types) {
                Err(why) => ProbeState::Absent { why },
                Ok(()) => match attach(&mut self.ebpf, probe, &btf) {
                    Ok(program) => {
                        self.attached.push((probe.name, program));
                        ProbeState::Attached
                    }
                    Err(why) => ProbeState::Failed { why },
                },
            };
            self.verdicts.push(ProbeVerdict {
                name: probe.name.into(),
                state,
            });
        }
        if between(self, Step { done: of, of }).is_break() {
            return Err(TracerError::BrokenOff);
        }
        check_essential(cpus, self.strict, &self.verdicts)
    }

    /// Every wanted probe and what became of it.
    #[must_use]
    pub fn verdicts(&self) -> &[ProbeVerdict] {
        &self.verdicts
    }

    /// Starts the account: one store.
    pub fn arm(&mut self) -> Result<(), TracerError> {
        self.switch(1)
    }

    /// Ends the account, and waits until no program that saw it on is still running.
    pub fn disarm(&mut self) -> Result<(), TracerError> {
        self.switch(0)?;
        self.wait_for_programs()
    }

    /// Waits until no program that began before this is still running.
    fn wait_for_programs(&mut self) -> Result<(), TracerError> {
        // Updating a map of maps ends with synchronize_rcu(), and programs run inside RCU
        // read sections (kernel/bpf/syscall.c:maybe_wait_bpf_programs, v6.12).
        self.outer
            .set(BARRIER_SLOT, &self.barrier, 0)
            .map_err(|source| TracerError::Map {
                name: "RINGS",
                source,
            })
    }

    fn switch(&mut self, armed: u32) -> Result<(), TracerError> {
        self.generation = self.generation.wrapping_add(1 << 16);
        let control = Control {
            armed,
            generation: self.generation,
        };
        self.control
            .set(0, ControlWords::from(control), 0)
            .map_err(|source| TracerError::Map {
                name: "CONTROL",
                source,
            })
    }

    /// One poll of all rings: hands every record that waits to `take`, CPU by CPU in the
    /// order of its ring, at most `limit` of each, and then what senders left. Returns how many
    /// records of watched CPUs there were.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(Drained<'_>)) -> usize {
        let mut taken = 0;
        for (cpu, ring) in &mut self.rings {
            let mut here = 0;
            while here < limit
                && let Some(item) = ring.next()
            {
                take(Drained::Record(*cpu, &item));
                here += 1;
            }
            if here == limit {
                take(Drained::Limit);
            }
            taken += here;
        }
        // The ring's own CPU means nothing to such a record.
        self.senders
            .drain(|item| take(Drained::Record(Cpu(SENDERS_SLOT), item)));
        taken
    }

    /// The state of every watched CPU.
    pub fn snapshots(&self) -> Result<Vec<(Cpu, Snapshot)>, TracerError> {
        self.rings
            .iter()
            .map(|(cpu, _)| {
                let words = self
                    .states
                    .get(&cpu.0, 0)
                    .map_err(|source| TracerError::Map {
                        name: "STATES",
                        source,
                    })?;
                let snapshot = words.snapshot().ok_or(TracerError::NoMap("STATES"))?;
                Ok((*cpu, snapshot))
            })
            .collect()
    }

    /// Interrupts that this process sent to watched CPUs while armed, as the sender's
    /// tracepoints saw them.
    pub fn own_sends(&self) -> Result<u64, TracerError> {
        sum(&self.own_sends, "OWN_SENDS")
    }

    /// Senders' records that did not fit their ring: what they led to has an unknown origin.
    pub fn lost_senders(&self) -> Result<u64, TracerError> {
        sum(&self.lost_sends, "LOST_SENDS")
    }

    /// User stacks of senders that were left out for want of room.
    pub fn lost_user_stacks(&self) -> Result<u64, TracerError> {
        sum(&self.lost_stacks, "LOST_STACKS")
    }

    /// The last entries of a CPU whose records found no room, the oldest first, each in the words of
    /// an entry and its arguments; none where that cannot be read.
    #[must_use]
    pub fn overflow_history(&self, Cpu(cpu): Cpu) -> Vec<[u64; ENTRY_WORDS]> {
        self.overflow_history
            .get(&cpu, 0)
            .map(|words| words.in_order())
            .unwrap_or_default()
    }

    /// Runs that the kernel skipped, per probe; probes without any are left out.
    #[must_use]
    pub fn missed_runs(&self) -> Vec<(String, u64)> {
        self.per_program()
            .filter(|(_, counters)| counters.missed_runs > 0)
            .map(|(name, counters)| (name.to_owned(), counters.missed_runs))
            .collect()
    }

    /// How often and how long each program ran; `None` where the kernel was not asked to measure.
    #[must_use]
    pub fn program_runs(&self) -> Option<Vec<ProgramRuns>> {
        self.statistics.as_ref()?;
        Some(
            self.per_program()
                .filter(|(_, counters)| counters.runs > 0)
                .map(|(name, counters)| ProgramRuns {
                    name: name.to_owned(),
                    runs: counters.runs,
                    run: Nanos(counters.run_time_ns),
                })
                .collect(),
        )
    }

    /// What the kernel counts per attached probe.
    pub fn per_program(
        &self,
    ) -> impl Iterator<Item = (&'static str, program_info::ProgramCounters)> + '_ {
        self.attached.iter().filter_map(|(name, program)| {
            let fd = match self.ebpf.program(program)? {
                Program::BtfTracePoint(it) => it.fd().ok()?,
                Program::RawTracePoint(it) => it.fd().ok()?,
                _ => return None,
            };
            program_info::counters(fd.as_fd())
                .ok()
                .map(|counters| (*name, counters))
        })
    }
}

/// The sum of a counter of all CPUs.
fn sum(counter: &PerCpuArray<MapData, u64>, name: &'static str) -> Result<u64, TracerError> {
    let values = counter
        .get(&0, 0)
        .map_err(|source| TracerError::Map { name, source })?;
    Ok(values.iter().sum())
}

#[cfg(test)]
#[path = "tracer_tests.rs"]
mod tests;
