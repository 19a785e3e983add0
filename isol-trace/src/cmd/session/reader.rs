//! From the rings to events: read, put together, attributed.

use super::monotonic;
use crate::{
    attrib::Attributor,
    bpf::tracer::{Taken, Tracer},
    event::{assemble::Assembler, decode::DecodeError, ids::Pid, model::Event},
};

/// Records taken from one ring before the next ring has its turn.
const TURN: usize = 4_096;

/// What the records of a trace go through.
pub(super) struct Reader {
    pub(super) assembler: Assembler,
    pub(super) attributor: Attributor,
    malformed: Option<DecodeError>,
}

impl Reader {
    pub(super) fn new(attributor: Attributor) -> Self {
        Self {
            assembler: Assembler::new(Pid(std::process::id())),
            attributor,
            malformed: None,
        }
    }

    /// One turn through all rings. Returns how many records of watched CPUs there were.
    pub(super) fn turn(&mut self, tracer: &mut Tracer, mut take: impl FnMut(Event)) -> usize {
        let Self {
            assembler,
            attributor,
            malformed,
        } = self;
        assembler.begin(monotonic());
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
        assembler.settled(|mut event| {
            if let Event::Breach(breach) = &mut event {
                attributor.fill(breach);
            }
            take(event);
        });
        records
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
