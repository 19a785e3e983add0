//! From the rings to events: read, put together, attributed.
//!
//! Names that take reading files are found on another thread. Nobody waits for them here: their
//! breach stays in the reorder buffer, and what comes after it, while the rings are read on.

use std::time::{Duration, Instant};

use super::reorder::{Limits, ReorderBuffer};
use crate::{
    attrib::{Attributor, Awaited, BreachLookup, KillLookup},
    bpf::tracer::{BATCH, Drained, Tracer},
    clock::monotonic,
    event::{
        assemble::Assembler,
        decode::DecodeError,
        ids::Pid,
        model::Event,
        own::{OwnBreaches, OwnProcesses},
        raw::{RawEvent, RawKill},
        unlogged::unlogged,
    },
};

/// How many may wait behind a breach that waits for its names.
const CAPACITY: usize = 1024;

/// How long a breach waits for its senders' stacks, which were asked for: each is unwound anew, and named, by a process
/// that runs where nobody else wants to.
const STACKS: Duration = Duration::from_millis(250);

/// How long the death of a task waits for its user stack: the debug information of a large program takes its time.
const KILL: Limits = Limits {
    time: Duration::from_secs(10),
    capacity: CAPACITY * 64,
};

/// How often it is asked at the end whether names are still waited for.
const GLANCE: Duration = Duration::from_millis(20);

/// What the records of a trace go through.
pub(super) struct Reader {
    pub(super) assembler: Assembler,
    pub(super) attributor: Attributor,
    /// What the tracer itself caused, as the events show that were handed over.
    pub(super) own: OwnBreaches,
    malformed: Option<DecodeError>,
    /// How long a breach waits for its names.
    limits: Limits,
    reorder: ReorderBuffer<Pending>,
}

impl Reader {
    /// `own` is this process, as probes see it. Breaches wait so long for their names at most.
    pub(super) fn new(attributor: Attributor, own: Pid, names_wait: Duration) -> Self {
        Self {
            assembler: Assembler::new(OwnProcesses::new(own, attributor.symbolizer())),
            attributor,
            own: OwnBreaches::new(own),
            malformed: None,
            limits: Limits {
                time: names_wait,
                capacity: CAPACITY,
            },
            reorder: ReorderBuffer::new(),
        }
    }

    /// Reads all rings once. Returns how many records of watched CPUs there were.
    pub(super) fn poll(&mut self, tracer: &mut Tracer, mut take: impl FnMut(Event)) -> usize {
        let Self {
            assembler,
            attributor,
            own,
            malformed,
            limits,
            reorder,
        } = self;
        assembler.begin(monotonic());
        attributor.take_mappings();
        let records = tracer.drain(BATCH, |drained| match drained {
            Drained::Record(cpu, bytes) => {
                if let Err(error) = assembler.record(cpu, bytes) {
                    *malformed = Some(error);
                }
            }
            Drained::Limit => assembler.more(),
        });
        for stack in assembler.take_stacks() {
            attributor.unwind(stack);
        }
        let now = Instant::now();
        assembler.drain_ready(|event| {
            let (limits, pending) = match event {
                RawEvent::Breach(raw) => {
                    let lookup = attributor.look_up(raw);
                    (limits.of(lookup.awaited()), Pending::Breach(lookup))
                }
                RawEvent::Kill(raw) => (KILL, look_up_kill(tracer, attributor, *raw)),
                RawEvent::Complete(event) => (*limits, Pending::Complete(event)),
            };
            reorder.push(now, limits, pending);
        });
        while let Some(done) = reorder.pop_ready(now, |one| one.is_there(attributor)) {
            take(done.completed(attributor, own));
        }
        records
    }

    /// Hands over what is left in the buffer, after the rings were read for the last time.
    pub(super) fn finish(
        &mut self,
        tracer: &Tracer,
        mut take: impl FnMut(Event),
        mut names_wait: impl FnMut(Duration) -> bool,
    ) {
        let Self {
            assembler,
            attributor,
            reorder,
            ..
        } = self;
        assembler.finish(|raw| {
            let pending = look_up_kill(tracer, attributor, raw);
            reorder.push(Instant::now(), KILL, pending);
        });
        let begun = Instant::now();
        while let Some(first) = self.reorder.pop() {
            while !first.is_there(&mut self.attributor) && names_wait(begun.elapsed()) {
                first.wait(&mut self.attributor, GLANCE);
            }
            take(first.completed(&mut self.attributor, &mut self.own));
        }
    }

    /// What a person should know of what could not be read or named, each told once.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        let mut all = self.attributor.warnings();
        all.extend(self.malformed.take().map(|error| {
            format!("a record could not be read and is missing from the log: {error}")
        }));
        all
    }
}

impl Limits {
    /// Those of a breach that waits for this.
    fn of(self, awaited: &Awaited) -> Self {
        if !awaited.has_stacks() {
            return self;
        }
        Self {
            time: self.time.max(STACKS),
            ..self
        }
    }
}

/// An event that may wait for its names.
enum Pending {
    Breach(BreachLookup),
    Kill(Box<KillLookup>),
    /// One that needs none.
    Complete(Event),
}

impl Pending {
    fn awaited(&self) -> Option<&Awaited> {
        match self {
            Self::Breach(lookup) => Some(lookup.awaited()),
            Self::Kill(lookup) => Some(lookup.awaited()),
            Self::Complete(_) => None,
        }
    }

    /// Whether all is known that it waits for.
    fn is_there(&self, attributor: &mut Attributor) -> bool {
        self.awaited().is_none_or(|it| attributor.is_there(it))
    }

    /// Waits for that.
    fn wait(&self, attributor: &mut Attributor, at_most: Duration) {
        if let Some(awaited) = self.awaited() {
            attributor.wait(awaited, at_most);
        }
    }

    /// The event, with what was found for it meanwhile.
    fn completed(self, attributor: &mut Attributor, own: &mut OwnBreaches) -> Event {
        match self {
            Self::Breach(lookup) => {
                let breach = attributor.breach(lookup);
                own.take(&breach);
                Event::Breach(breach)
            }
            Self::Kill(lookup) => Event::Kill(Box::new(attributor.kill(*lookup))),
            Self::Complete(event) => event,
        }
    }
}

/// Begins to look up what a kill needs, the last entries of its task among that which the ring had no room
/// for. What cannot be read is not remembered.
fn look_up_kill(tracer: &Tracer, attributor: &mut Attributor, raw: RawKill) -> Pending {
    let unlogged = tracer
        .overflow_history(raw.delivered.cpu)
        .iter()
        .filter_map(|words| unlogged(words, raw.delivered.task.tid))
        .filter(|entry| entry.at <= raw.delivered.at)
        .collect();
    Pending::Kill(Box::new(attributor.look_up_kill(raw, unlogged)))
}
