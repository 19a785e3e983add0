//! One trace, from attaching to detaching.
//!
//! The order of things: our threads leave the watched CPUs, probes are attached inert, one
//! store arms them, records are drained on a timer, one store disarms, what remains is
//! drained, and only then are the probes detached.

mod follow;
mod reader;
mod reorder;

pub(super) use follow::FOLLOW;

use std::{collections::BTreeMap, io, ops::ControlFlow, time::Duration};

use isol_trace_common::config::PreemptCount;

use self::reader::Reader;
use crate::{
    allocator::give_memory_back,
    attrib::{Attributor, Options},
    bpf::{
        attach::Step,
        btf::KernelTypes,
        numbers::Numbers,
        object::Snapshot,
        preempt,
        probe_selection::blind_spots,
        request::{Execution, PERF_TIMER_FUNCTION, Request},
        tracer::Tracer,
    },
    clock::{Anchor, monotonic},
    error::Error,
    event::{
        ids::{Cpu, MonoNanos, Pid},
        model::{Detection, Event, Header, Summary, Totals, TracerSummary},
        own::OwnCounts,
    },
    host::{Host, affinity, cpu_list::CpuSet, descriptors, follow::Following},
    names::kallsyms,
    plan::TracePlan,
    stats::summary::cpu_summary,
    symbolize::Starter,
};

/// Rows of `/proc/interrupts` that attaching and detaching move: reschedules, function
/// calls, `irq_work`.
const KERNEL_SENT: [&str; 3] = ["RES", "CAL", "IWI"];

/// What is said where processes have other numbers than the kernel gives them.
const NAMESPACE: &str = "places in user space come as addresses: isol-trace runs in a PID namespace, where numbers of processes \
     are not those of the kernel's records; run it in the host's (as with docker run --pid=host)";

/// What the drain asks for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Much was there: come back at once.
    Storm,
    /// Come back after a while.
    Calm(Duration),
}

/// A running trace.
pub struct Session {
    tracer: Tracer,
    reader: Reader,
    host: Host,
    plan: TracePlan,
    /// Whether the kernel marks entries at all.
    has_user_exit: bool,
    following: Following,
    watched: Vec<(Cpu, Detection)>,
    armed_at: MonoNanos,
    anchor: Anchor,
    attach_breaches: Option<u64>,
    lost: BTreeMap<Cpu, u64>,
    pace: Adaptive,
    /// What a person should know and has not been told.
    warnings: Vec<String>,
}

impl Session {
    /// Keeps this process off the watched CPUs and out of their way. Before any thread starts.
    pub fn prepare(plan: &TracePlan) -> Result<affinity::HugePages, Error> {
        descriptors::require(descriptors_for(plan))?;
        let rings = u64::from(plan.ring_bytes).saturating_mul(plan.watched.iter().count() as u64);
        descriptors::require_memory(rings)?;
        affinity::confine(&plan.tracer)?;
        Ok(affinity::disable_huge_pages()?)
    }

    /// Attaches everything, inert. `progress` hears of each probe, and may break it off; `goes_on` then says why.
    pub fn attach(
        plan: &TracePlan,
        section_only: bool,
        host: Host,
        progress: impl FnMut(Step) -> ControlFlow<()>,
        goes_on: fn() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let before = kernel_sent(&host, plan);
        // First, so that what reads programs' files inherits nothing of the trace. It interrupts every CPU, as
        // attaching does.
        let numbers = numbers(&host);
        let own = numbers.as_ref().map_or(Pid(std::process::id()), |it| it.1);
        let attributor = Attributor::new(&host.path("/"), &names(plan, &host, &numbers))
            .map_err(Error::Symbols)?;
        let following = Following::new(&host, plan.asked.clone(), plan.watched.clone())?;
        let (tracer, watched, has_user_exit) = {
            let types = KernelTypes::read(&host.btf_path()).map_err(Error::tracer)?;
            goes_on()?;
            let has_user_exit = types.has_tracepoint("user_exit");
            let watched = plan.detection(has_user_exit);
            let (preempt_count, perf_timer_function) = places(&host, &types);
            let request = Request {
                watched: watched.clone(),
                possible_cpus: plan.possible_cpus,
                pids: plan.pids.iter().map(|pid| pid.0).collect(),
                comms: plan
                    .comms
                    .iter()
                    .map(crate::cli::value::Comm::padded)
                    .collect(),
                section_only,
                own,
                ring_bytes: plan.ring_bytes,
                execution: execution(&host),
                preempt_count,
                perf_timer_function,
                statistics: plan.bpf_stats,
                user_stacks: plan.user_stacks,
                strict: plan.strict,
            };
            let attached = Tracer::attach(&request, &types, progress);
            // A step that was broken off has failed as well.
            goes_on()?;
            let tracer = attached.map_err(Error::tracer)?;
            // Last of all: where no program can be loaded, that has a better sentence.
            numbers.map_err(Error::Numbers)?;
            (tracer, watched, has_user_exit)
        };
        // Loading parses megabytes of type information; the allocator would keep them.
        give_memory_back();
        let attach_breaches = difference(before, kernel_sent(&host, plan));
        let warnings = if host.is_in_pid_namespace() {
            vec![NAMESPACE.to_owned()]
        } else {
            Vec::new()
        };
        Ok(Self {
            tracer,
            reader: Reader::new(attributor, own, plan.names_wait),
            host,
            plan: plan.clone(),
            lost: watched.iter().map(|(cpu, _)| (*cpu, 0)).collect(),
            watched,
            has_user_exit,
            following,
            warnings,
            armed_at: MonoNanos(0),
            anchor: Anchor::now(),
            attach_breaches,
            pace: Adaptive::new(),
        })
    }

    /// Starts the account. The header is complete from here on.
    pub fn arm(&mut self) -> Result<(), Error> {
        let before = kernel_sent(&self.host, &self.plan);
        self.reader.attributor.record_mappings();
        let opening = difference(before, kernel_sent(&self.host, &self.plan));
        self.attach_breaches = self.attach_breaches.zip(opening).map(|(a, b)| a + b);
        self.reader.attributor.prepare(&self.plan.watched);
        self.anchor = Anchor::now();
        self.armed_at = monotonic();
        self.tracer.arm().map_err(Error::tracer)
    }

    /// The command that was to be traced was started as this process, which is a child of ours, or of its guard. Whether
    /// it is recorded which processes it starts.
    pub fn follow_command(&mut self, pid: Option<Pid>) -> bool {
        if let Some(pid) = pid {
            self.reader.attributor.command_is(pid);
        }
        self.reader.attributor.lost_mappings().is_some()
    }

    /// The first line of the log.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            host: self.plan.identity.host.clone(),
            kernel: self.plan.identity.kernel.clone(),
            arch: self.plan.identity.arch.clone(),
            no_hz_full: Some(self.plan.identity.no_hz_full),
            cpus: self.watched.clone(),
            blind_spots: blind_spots(&self.watched)
                .into_iter()
                .map(Into::into)
                .collect(),
            housekeeping: self.plan.housekeeping.iter().collect(),
            probes: self.tracer.verdicts().to_vec(),
            at: self.armed_at,
            anchor: self.anchor,
        }
    }

    /// Takes what waits in the rings, and says when to come again.
    pub fn drain(&mut self, mut take: impl FnMut(Event)) -> Pace {
        let taken = self.reader.poll(&mut self.tracer, &mut take);
        self.pace.after(taken)
    }

    /// The totals as they stand, and a `lost` event for every CPU that has lost records since.
    pub fn totals(&mut self) -> Result<(Totals, Vec<Event>), Error> {
        let at = monotonic();
        let mut cpus = Vec::with_capacity(self.watched.len());
        let mut events = Vec::new();
        for (cpu, snapshot) in self.tracer.snapshots().map_err(Error::tracer)? {
            let known = self.lost.entry(cpu).or_insert(0);
            let records = snapshot.ledger.lost.saturating_sub(*known);
            if records > 0 {
                *known = snapshot.ledger.lost;
                events.push(Event::Lost { cpu, records, at });
            }
            cpus.push(cpu_summary(cpu, &snapshot));
        }
        Ok((Totals { at, cpus }, events))
    }

    /// What the tracer itself costs so far.
    pub fn tracer_summary(&self) -> Result<TracerSummary, Error> {
        let snapshots = self.tracer.snapshots().map_err(Error::tracer)?;
        let sends = self.tracer.own_sends().map_err(Error::tracer)?;
        Ok(TracerSummary {
            breaches: self.reader.own.total(own_counts(&snapshots, sends)),
            attach_breaches: self.attach_breaches,
            detach_breaches: None,
            lost_senders: Some(
                self.tracer.lost_senders().map_err(Error::tracer)?
                    + self.reader.assembler.forgotten_senders(),
            ),
            lost_user_stacks: self.lost_user_stacks()?,
            missed_runs: self.tracer.missed_runs(),
            programs: self.tracer.program_runs(),
        })
    }

    /// User stacks that found no room, where they were asked for.
    fn lost_user_stacks(&self) -> Result<Option<u64>, Error> {
        if !self.plan.user_stacks {
            return Ok(None);
        }
        let lost = self.tracer.lost_user_stacks().map_err(Error::tracer)?;
        Ok(Some(lost + self.reader.attributor.dropped_stacks()))
    }

    /// What a person should know about names that are missing, each told once.
    pub fn warnings(&mut self) -> Vec<String> {
        let mut all = std::mem::take(&mut self.warnings);
        all.extend(self.reader.warnings());
        all
    }

    /// Ends the account: disarms, drains what remains, detaches, and sums up. Names that are still looked up are
    /// waited for as long as `names_wait` says so, given for how long that has been.
    pub fn finish(
        mut self,
        mut take: impl FnMut(Event),
        names_wait: impl FnMut(Duration) -> bool,
    ) -> Result<Summary, Error> {
        self.tracer.disarm().map_err(Error::tracer)?;
        let at = monotonic();
        while self.reader.poll(&mut self.tracer, &mut take) > 0 {}
        self.reader.finish(&self.tracer, &mut take, names_wait);
        let (totals, lost) = self.totals()?;
        for event in lost {
            take(event);
        }
        let mut tracer = self.tracer_summary()?;
        let Self {
            tracer: programs,
            reader,
            host,
            plan,
            ..
        } = self;
        let before = kernel_sent(&host, &plan);
        drop(programs);
        reader.attributor.stop_mappings();
        tracer.detach_breaches = difference(before, kernel_sent(&host, &plan));
        Ok(Summary {
            at,
            cpus: totals.cpus,
            tracer,
        })
    }
}

/// How often the rings are looked at: at once while they fill, seldom while nothing comes.
///
/// A CPU can fill a ring of 2 MiB in about four milliseconds; the longest pause is shorter.
#[derive(Debug)]
struct Adaptive {
    pause: Duration,
}

impl Adaptive {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(3);
    /// Records in one poll that call for the next at once.
    const MANY: usize = 256;

    const fn new() -> Self {
        Self {
            pause: Self::SHORTEST,
        }
    }

    fn after(&mut self, taken: usize) -> Pace {
        if taken >= Self::MANY {
            self.pause = Self::SHORTEST;
            return Pace::Storm;
        }
        self.pause = if taken > 0 {
            Self::SHORTEST
        } else {
            (self.pause + Self::SHORTEST).min(Self::LONGEST)
        };
        Pace::Calm(self.pause)
    }
}

/// How many descriptors a trace takes: a program and a link for each probe, the maps, a ring for each watched CPU, an
/// event for each CPU that is online, and some for files.
fn descriptors_for(plan: &TracePlan) -> u64 {
    const PROBES_MAPS_AND_FILES: u64 = 200;
    let cpus = |set: &CpuSet| set.iter().count() as u64;
    PROBES_MAPS_AND_FILES + 2 * cpus(&plan.watched) + cpus(&plan.housekeeping)
}

/// How our own processes learn by which numbers the probes know them, and which is ours.
fn numbers(host: &Host) -> io::Result<(Numbers, Pid)> {
    let numbers = Numbers::on(host)?;
    let own = numbers.own()?;
    Ok((numbers, own))
}

/// What is looked up.
fn names(plan: &TracePlan, host: &Host, numbers: &io::Result<(Numbers, Pid)>) -> Options {
    let online = &plan.watched | &plan.housekeeping;
    Options {
        record_mappings_on: online.iter().collect(),
        // Its `/proc` has other processes by the numbers that records have.
        user_symbols: !host.is_in_pid_namespace(),
        symbolizer: Starter {
            numbers: numbers
                .as_ref()
                .map_or_else(|_| Numbers::default(), |it| it.0.clone()),
            ..Starter::own(plan.symbol_memory)
        },
        debug_dirs: plan.debug_dirs.clone(),
        ..Options::default()
    }
}

/// Interrupts that the kernel itself sent to the watched CPUs; `None` where they cannot be read.
fn kernel_sent(host: &Host, plan: &TracePlan) -> Option<u64> {
    let lines = host.interrupts(&plan.watched).ok()?;
    Some(
        lines
            .iter()
            .filter(|line| KERNEL_SENT.contains(&line.label.as_str()))
            .flat_map(|line| line.counts.values())
            .sum(),
    )
}

/// What the kernel's side has counted of the tracer so far.
fn own_counts(snapshots: &[(Cpu, Snapshot)], sends: u64) -> OwnCounts {
    let mut counts = OwnCounts {
        sends,
        ..OwnCounts::default()
    };
    for (_, Snapshot { ledger, .. }) in snapshots {
        counts.entries += ledger.own_entries;
        counts.unrecorded += ledger.lost + ledger.filtered;
    }
    counts
}

fn difference(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

/// How this kernel runs programs: as machine code, unless it says otherwise.
fn execution(host: &Host) -> Execution {
    match host.rights().bpf_jit.known() {
        Some(0) => Execution::Interpreted,
        _ => Execution::Compiled,
    }
}

/// Where the kernel keeps its `preempt_count`, and its function of perf events' timers, as far as it shows its addresses.
fn places(host: &Host, types: &KernelTypes) -> (PreemptCount, Option<u64>) {
    let [bases, count] = preempt::symbols(types);
    let names = [bases, count, PERF_TIMER_FUNCTION];
    let addresses = kallsyms::addresses_of(&host.path("/proc/kallsyms"), names);
    let [bases, count, function] = addresses.unwrap_or_default();
    (preempt::locate([bases, count], types), function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_while_nothing_comes_and_ends_with_the_first_record() {
        let mut pace = Adaptive::new();
        let quiet: Vec<_> = (0..5).map(|_| pace.after(0)).collect();
        assert_eq!(quiet[0], Pace::Calm(Duration::from_millis(2)));
        assert_eq!(quiet[4], Pace::Calm(Adaptive::LONGEST));
        assert_eq!(pace.after(1), Pace::Calm(Adaptive::SHORTEST));
        assert_eq!(pace.after(Adaptive::MANY), Pace::Storm);
    }

    #[test]
    fn what_is_not_measured_is_absent() {
        assert_eq!(difference(None, Some(3)), None);
        assert_eq!(difference(Some(3), Some(40)), Some(37));
    }
}
