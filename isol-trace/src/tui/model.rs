//! What arrived: the header, the ledger as it stands and the last breaches.
//!
//! Bounded whatever comes: totals replace each other, and of the breaches the
//! last [`KEPT`] stay.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use isol_trace_common::cause::Cause;

use super::{
    Update,
    rates::{Rates, since},
};
use crate::event::{
    ids::{Cpu, MonoNanos, Nanos, Seq},
    model::{
        Breach, CpuChange, CpuSummary, Event, Header, Kill, KilledBy, ProbeState, Summary, Totals,
        TracerSummary, WatchedSet,
    },
};

/// Breaches that the list keeps.
pub const KEPT: usize = 1_000;
/// Changes that are remembered.
const CHANGES: usize = 3;
/// How long a change is shown.
const RECENT: Nanos = Nanos(30_000_000_000);
/// Totals older than this are said to be old.
const STALE: Nanos = Nanos(5_000_000_000);

/// A breach of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The breach itself.
    pub breach: Arc<Breach>,
    /// How long its task was away after it, once that is known.
    pub away: Option<Nanos>,
}

/// The last breach of a CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// The thread's name; `None` where it is not known.
    pub comm: Option<Arc<str>>,
    /// The cause.
    pub cause: Cause,
    /// The cause's name.
    pub name: Option<Arc<str>>,
}

/// Everything that arrived.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// What is watched; `None` until it is known.
    pub header: Option<Arc<Header>>,
    /// The ledger; `None` until it was read once.
    pub totals: Option<Totals>,
    /// Per-second figures.
    pub rates: Rates,
    /// The last breaches, newest first.
    pub breaches: VecDeque<Kept>,
    /// The last breach of each CPU.
    pub last: BTreeMap<Cpu, Last>,
    /// Breaches that were counted and not sent here.
    pub skipped: u64,
    /// What the tracer itself costs; `None` until it was read.
    pub tracer: Option<TracerSummary>,
    /// What happened to watched CPUs and tasks, the last first.
    changes: VecDeque<(MonoNanos, String)>,
    /// When the tracer was disarmed.
    pub ended: Option<MonoNanos>,
    /// Records lost, as the log's own lines say.
    lost_noted: u64,
    /// When each CPU was last seen to have entered the kernel.
    entered: BTreeMap<Cpu, MonoNanos>,
    now: MonoNanos,
}

impl Model {
    /// Takes an update. Says whether the screen would show anything new.
    pub fn apply(&mut self, update: Update) -> bool {
        match update {
            Update::Header(header) | Update::Event(Event::Header(header)) => self.begin(header),
            Update::Event(Event::Breach(breach)) => self.breach(*breach),
            Update::Event(Event::Back { breach, away, .. }) => return self.back(breach, away),
            Update::Event(Event::Lost { records, .. }) => self.lost_noted += records,
            Update::Event(Event::Watched(set)) => self.watched(&set),
            Update::Event(Event::Moved { task, from, to, at }) => {
                let name = task.comm.as_deref().unwrap_or("a task");
                self.changed(
                    at,
                    format!("{name} ({}) moved from CPU {from} to CPU {to}", task.tid),
                );
            }
            Update::Event(Event::Kill(kill)) => self.killed(&kill),
            Update::Totals(totals) => return self.totals(totals),
            Update::Tracer(tracer) => {
                let tracer = Some(tracer);
                let news = self.tracer != tracer;
                self.tracer = tracer;
                return news;
            }
            Update::Skipped(breaches) => self.skipped += breaches,
            Update::Ended(summary) | Update::Event(Event::Summary(summary)) => self.end(summary),
        }
        true
    }

    /// A signal ended a task, or strict mode raised one.
    fn killed(&mut self, kill: &Kill) {
        let name = kill.task.comm.as_deref().unwrap_or("a task");
        let what = if kill.fatal { "was killed" } else { "got" };
        let by = match &kill.by {
            KilledBy::StrictMode => " by strict mode".to_owned(),
            KilledBy::Tracer => " by isol-trace --strict".to_owned(),
            KilledBy::Remote(sender) => {
                let who = sender.task.comm.as_deref().unwrap_or("another process");
                format!(" by {who} ({})", sender.task.tid)
            }
            KilledBy::Task | KilledBy::Kernel | KilledBy::Unknown => String::new(),
        };
        let Kill {
            task, cpu, signal, ..
        } = kill;
        self.changed(
            kill.at,
            format!("{name} ({}) {what}{by} on CPU {cpu}: {signal}", task.tid),
        );
    }

    /// A header begins a new account; the same one said twice does not.
    fn begin(&mut self, header: Header) {
        if self.header.as_deref() == Some(&header) {
            return;
        }
        *self = Self {
            rates: Rates::starting(header.at),
            now: self.now.max(header.at),
            header: Some(Arc::new(header)),
            ..Self::default()
        };
    }

    /// The watched set has changed. A CPU that is offline keeps its line.
    fn watched(&mut self, set: &WatchedSet) {
        for (cpu, change) in &set.changes {
            self.changed(set.at, format!("CPU {cpu} {}", change.word()));
        }
        let Some(header) = &mut self.header else {
            return;
        };
        let header = Arc::make_mut(header);
        header
            .cpus
            .retain(|(cpu, _)| !set.changes.contains(&(*cpu, CpuChange::Released)));
        for &(cpu, detection) in &set.cpus {
            if header.cpus.iter().all(|(known, _)| *known != cpu) {
                header.cpus.push((cpu, detection));
            }
        }
        header.cpus.sort_unstable_by_key(|(cpu, _)| *cpu);
        header.housekeeping.clone_from(&set.housekeeping);
        header.blind_spots.clone_from(&set.blind_spots);
        header.probes.extend(set.probes.iter().cloned());
    }

    /// Something happened that is worth a line for a while.
    fn changed(&mut self, at: MonoNanos, what: String) {
        self.changes.truncate(CHANGES - 1);
        self.changes.push_front((at, what));
    }

    /// What happened lately to the watched CPUs and tasks, with its age, the last first.
    pub fn recent_changes(&self) -> impl Iterator<Item = (Nanos, &str)> {
        self.changes
            .iter()
            .map(|(at, what)| (since(*at, self.ended.unwrap_or(self.now)), what.as_str()))
            .filter(|(age, _)| *age < RECENT)
    }

    fn breach(&mut self, breach: Breach) {
        let end = MonoNanos(
            breach
                .at
                .0
                .saturating_add(breach.duration.map_or(0, |time| time.0)),
        );
        self.entered(breach.cpu, end);
        self.last.insert(
            breach.cpu,
            Last {
                comm: breach.task.comm.clone(),
                cause: breach.cause.cause(),
                name: breach.cause_name.clone(),
            },
        );
        self.breaches.truncate(KEPT - 1);
        self.breaches.push_front(Kept {
            breach: Arc::new(breach),
            away: None,
        });
    }

    fn back(&mut self, breach: Option<Seq>, away: Nanos) -> bool {
        let kept =
            breach.and_then(|seq| self.breaches.iter_mut().find(|kept| kept.breach.seq == seq));
        kept.map(|kept| kept.away = Some(away)).is_some()
    }

    fn totals(&mut self, mut totals: Totals) -> bool {
        totals.cpus.sort_by_key(|cpu| cpu.cpu);
        let known = self.totals.take();
        for cpu in &totals.cpus {
            let before = known.as_ref().and_then(|known| find(known, cpu.cpu));
            if cpu.entries > before.map_or(0, |before| before.entries) {
                self.entered(cpu.cpu, totals.at);
            }
        }
        let was_busy = self.rates.all() != Some(0.0);
        self.rates.push(&totals);
        let news = known.is_none_or(|known| known.cpus != totals.cpus);
        self.totals = Some(totals);
        news || was_busy
    }

    fn end(&mut self, summary: Summary) {
        let totals = Totals {
            at: summary.at,
            cpus: summary.cpus,
        };
        self.totals(totals);
        if let (Some(header), Some(totals)) = (&self.header, &self.totals) {
            self.rates = Rates::of_run(header.at, totals);
        }
        self.tracer = Some(summary.tracer);
        self.ended = Some(summary.at);
    }

    fn entered(&mut self, cpu: Cpu, at: MonoNanos) {
        let entered = self.entered.entry(cpu).or_insert(at);
        *entered = (*entered).max(at);
    }

    /// Time goes on. Says whether the screen would show anything new.
    pub fn tick(&mut self, now: MonoNanos) -> bool {
        let before = self.elapsed();
        self.now = self.now.max(now);
        let seconds = |time: Option<Nanos>| time.map(|time| time.0 / 1_000_000_000);
        seconds(before) != seconds(self.elapsed())
    }

    /// Since the tracer was armed, up to now or to its end.
    #[must_use]
    pub fn elapsed(&self) -> Option<Nanos> {
        let header = self.header.as_ref()?;
        Some(since(header.at, self.ended.unwrap_or(self.now)))
    }

    /// How old the totals are, where they are too old to be called current.
    #[must_use]
    pub fn stale(&self) -> Option<Nanos> {
        let read = match &self.totals {
            Some(totals) => totals.at,
            None => self.header.as_ref()?.at,
        };
        let age = since(read, self.now);
        (self.ended.is_none() && age >= STALE).then_some(age)
    }

    /// The totals of a CPU.
    #[must_use]
    pub fn cpu(&self, cpu: Cpu) -> Option<&CpuSummary> {
        self.totals.as_ref().and_then(|totals| find(totals, cpu))
    }

    /// How long a CPU has not entered the kernel; `None` while it is in it or nothing is known.
    #[must_use]
    pub fn quiet(&self, cpu: Cpu) -> Option<Nanos> {
        if self.cpu(cpu)?.open > 0 {
            return None;
        }
        let start = self.header.as_ref()?.at;
        let last = self.entered.get(&cpu).copied().unwrap_or(start);
        Some(since(last.max(start), self.ended.unwrap_or(self.now)))
    }

    /// The sum of a figure over all watched CPUs; `None` until the ledger was read.
    #[must_use]
    pub fn sum(&self, figure: impl Fn(&CpuSummary) -> u64) -> Option<u64> {
        self.totals
            .as_ref()
            .map(|totals| totals.cpus.iter().map(figure).sum())
    }

    /// Kernel entries so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.sum(|cpu| cpu.entries).unwrap_or(0)
    }

    /// Records that did not fit the ring.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sum(|cpu| cpu.lost).unwrap_or(0).max(self.lost_noted)
    }

    /// The longest kernel time of all; `None` without a breach whose end was seen.
    #[must_use]
    pub fn worst(&self) -> Option<Nanos> {
        let totals = self.totals.as_ref()?;
        totals.cpus.iter().filter_map(|cpu| cpu.max).max()
    }

    /// The share of their time that the watched CPUs spent in the kernel since the start; `None` where
    /// that is not known of one of them.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let totals = self.totals.as_ref()?;
        let time = since(self.header.as_ref()?.at, totals.at).0 as f64 * totals.cpus.len() as f64;
        let kernel = totals.cpus.iter().map(|cpu| Some(cpu.kernel?.0));
        let kernel = kernel.sum::<Option<u64>>()?;
        (time > 0.0).then(|| (kernel as f64 / time).min(1.0))
    }

    /// Probes that are there and could not be attached.
    #[must_use]
    pub fn failed_probes(&self) -> usize {
        self.header.as_ref().map_or(0, |header| {
            let probes = header.probes.iter();
            probes
                .filter(|probe| matches!(probe.state, ProbeState::Failed { .. }))
                .count()
        })
    }
}

/// The totals of one CPU among those of all, which are in order.
fn find(totals: &Totals, wanted: Cpu) -> Option<&CpuSummary> {
    let index = totals.cpus.binary_search_by_key(&wanted, |cpu| cpu.cpu);
    index.ok().and_then(|index| totals.cpus.get(index))
}
