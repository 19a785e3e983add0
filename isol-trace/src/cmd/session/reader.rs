//! From the rings to events: read, put together, attributed.
//!
//! Names that take reading files are found on another thread. Nobody waits for them here: their
//! breach is held, and what comes after it, while the rings are read on.

use std::time::Instant;

use super::hold::{Hold, PATIENCE};
use crate::{
    attrib::{Attributor, Awaited},
    bpf::tracer::{Taken, Tracer},
    clock::monotonic,
    event::{
        assemble::Assembler,
        decode::DecodeError,
        ids::Pid,
        kill::unlogged,
        model::{Event, Kill, Unlogged},
    },
};

/// Records taken from one ring before the next ring has its turn.
const TURN: usize = 4_096;

/// What the records of a trace go through.
pub(super) struct Reader {
    pub(super) assembler: Assembler,
    pub(super) attributor: Attributor,
    malformed: Option<DecodeError>,
    held: Hold<(Event, Awaited)>,
}

impl Reader {
    pub(super) fn new(attributor: Attributor) -> Self {
        Self {
            assembler: Assembler::new(Pid(std::process::id())),
            attributor,
            malformed: None,
            held: Hold::new(),
        }
    }

    /// One turn through all rings. Returns how many records of watched CPUs there were.
    pub(super) fn turn(&mut self, tracer: &mut Tracer, mut take: impl FnMut(Event)) -> usize {
        let Self {
            assembler,
            attributor,
            malformed,
            held,
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
            let awaited = match &mut event {
                Event::Breach(breach) => attributor.name(breach),
                Event::Kill(kill) => {
                    kill.unlogged = remembered(tracer, kill);
                    attributor.name_kill(kill)
                }
                _ => Awaited::default(),
            };
            held.put(now, (event, awaited));
        });
        while let Some(done) = held.next(now, |(_, awaited)| attributor.is_there(awaited)) {
            take(completed(attributor, done));
        }
        records
    }

    /// Hands over what is held, after the last turn.
    pub(super) fn finish(&mut self, tracer: &Tracer, mut take: impl FnMut(Event)) {
        let Self {
            assembler,
            attributor,
            held,
            ..
        } = self;
        assembler.finish(|mut event| {
            let mut awaited = Awaited::default();
            if let Event::Kill(kill) = &mut event {
                kill.unlogged = remembered(tracer, kill);
                awaited = attributor.name_kill(kill);
            }
            held.put(Instant::now(), (event, awaited));
        });
        let begun = Instant::now();
        while let Some(held) = self.held.first() {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            self.attributor.wait(&held.1, left);
            take(completed(&mut self.attributor, held));
        }
    }

    /// What a person should know of what could not be read or named, each told once.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let mut all = self.attributor.complaints();
        all.extend(self.malformed.take().map(|error| {
            format!("a record could not be read and is missing from the log: {error}")
        }));
        all
    }
}

/// An event with what was found for it meanwhile.
fn completed(attributor: &mut Attributor, (mut event, awaited): (Event, Awaited)) -> Event {
    match &mut event {
        _ if awaited.is_empty() => {}
        Event::Breach(breach) => attributor.complete(breach, &awaited),
        Event::Kill(kill) => attributor.complete_kill(kill, &awaited),
        _ => {}
    }
    event
}

/// The last entries of a task that the ring had no room for. What cannot be read is not remembered.
fn remembered(tracer: &Tracer, kill: &Kill) -> Vec<Unlogged> {
    tracer
        .remembered(kill.cpu)
        .iter()
        .filter_map(|words| unlogged(words, kill.task.tid))
        .filter(|entry| entry.at <= kill.at)
        .collect()
}
