//! From the rings to events: read, put together, attributed.
//!
//! Names that take reading files are found on another thread. Nobody waits for them here: their
//! breach stays in the reorder buffer, and what comes after it, while the rings are read on.

use std::time::{Duration, Instant};

use super::reorder::{Limits, ReorderBuffer};
use crate::{
    attrib::{Attributor, Awaited},
    bpf::tracer::{TURN, Taken, Tracer},
    clock::monotonic,
    event::{
        assemble::Assembler,
        decode::DecodeError,
        ids::Pid,
        kill::unlogged,
        model::{Event, Kill},
        own::OwnBreaches,
        own::OwnProcesses,
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
    reorder: ReorderBuffer<(Event, Awaited)>,
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
        let records = tracer.drain(TURN, |taken| match taken {
            Taken::Record(cpu, bytes) => {
                if let Err(error) = assembler.record(cpu, bytes) {
                    *malformed = Some(error);
                }
            }
            Taken::Limit => assembler.more(),
        });
        for stack in assembler.take_stacks() {
            attributor.unwind(stack);
        }
        let now = Instant::now();
        assembler.settled(|mut event| {
            let (limits, awaited) = match &mut event {
                Event::Breach(breach) => {
                    let awaited = attributor.name(breach);
                    (limits.of(&awaited), awaited)
                }
                Event::Kill(kill) => (KILL, name_kill(tracer, attributor, kill)),
                _ => (*limits, Awaited::default()),
            };
            reorder.push(now, limits, (event, awaited));
        });
        while let Some(done) = reorder.pop_ready(now, |(_, awaited)| attributor.is_there(awaited)) {
            take(completed(attributor, own, done));
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
        assembler.finish(|mut kill| {
            let awaited = name_kill(tracer, attributor, &mut kill);
            reorder.push(Instant::now(), KILL, (Event::Kill(kill), awaited));
        });
        let begun = Instant::now();
        while let Some(first) = self.reorder.pop() {
            while !self.attributor.is_there(&first.1) && names_wait(begun.elapsed()) {
                self.attributor.wait(&first.1, GLANCE);
            }
            take(completed(&mut self.attributor, &mut self.own, first));
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

/// An event with what was found for it meanwhile. Its origins are final then.
fn completed(
    attributor: &mut Attributor,
    own: &mut OwnBreaches,
    (mut event, awaited): (Event, Awaited),
) -> Event {
    match &mut event {
        _ if awaited.is_empty() => {}
        Event::Breach(breach) => attributor.complete(breach, &awaited),
        Event::Kill(kill) => attributor.complete_kill(kill, &awaited),
        _ => {}
    }
    if let Event::Breach(breach) = &event {
        own.take(breach);
    }
    event
}

/// Adds to a kill the last entries of its task that the ring had no room for, and names. What cannot be
/// read is not remembered.
fn name_kill(tracer: &Tracer, attributor: &mut Attributor, kill: &mut Kill) -> Awaited {
    kill.unlogged = tracer
        .remembered(kill.cpu)
        .iter()
        .filter_map(|words| unlogged(words, kill.task.tid))
        .filter(|entry| entry.at <= kill.at)
        .collect();
    attributor.name_kill(kill)
}
