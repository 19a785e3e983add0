//! How much is kept, and who is forgotten where that is not enough.
//!
//! A stranger can start as many processes as it likes, each of which maps as much as it likes. So it is not asked who
//! began longest ago, which would be the daemon that everybody relies on, but who takes the most: of all families of
//! processes the largest, and in that one who has ended long ago, who holds the most, and who began last. A family is
//! a process that was there before, and all who descend from it since. All others are one family, the
//! crowd: their beginning is not known, or they were forgotten once, and nothing tells a stranger's from others.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::space::Code;
use crate::event::ids::Pid;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Processes.
    pub(super) processes: usize,
    /// Processes that have ended, for which living ones are forgotten: these can still be asked.
    pub(super) ended: usize,
    /// Bytes of mappings.
    pub(super) bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            processes: 4096,
            ended: 512,
            bytes: 16 << 20,
        }
    }
}

impl Room {
    /// What is left where it was not enough: whom to forget takes looking at all, and is not to be asked each time.
    pub(super) const fn afterwards(self) -> Self {
        Self {
            processes: self.processes - self.processes / 16,
            bytes: self.bytes - self.bytes / 16,
            ..self
        }
    }
}

/// What is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// Bytes of mappings.
    Bytes,
    /// Processes.
    Processes,
}

/// Code that processes have, each counted once: a child has that of its parent until one of them maps more.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// How many have it, by where it is.
    holders: HashMap<usize, usize>,
    bytes: usize,
}

impl Held {
    /// One more process has this.
    pub(super) fn hold(&mut self, code: &Arc<Code>) {
        let holders = self.holders.entry(place(code)).or_default();
        if *holders == 0 {
            self.bytes += code.bytes();
        }
        *holders += 1;
    }

    /// One process has this no longer, or is about to change it.
    pub(super) fn release(&mut self, code: &Arc<Code>) {
        if let Some(holders) = self.holders.get_mut(&place(code)) {
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(&place(code));
                self.bytes -= code.bytes();
            }
        }
    }

    /// Memory that all of it takes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn place(code: &Arc<Code>) -> usize {
    Arc::as_ptr(code).addr()
}

/// The processes that descend from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Family(pub(super) u64);

impl Family {
    /// Those whose beginning is not known.
    pub(super) const CROWD: Self = Self(0);
}

/// A process that may be forgotten.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// Its number.
    pub(super) pid: Pid,
    /// Those that it belongs to.
    pub(super) family: Family,
    /// What it has.
    pub(super) code: &'a Arc<Code>,
    /// How it stands.
    pub(super) stage: Stage,
    /// Its place among all, in the order in which they began or ended.
    pub(super) age: u64,
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It lives.
    Lives,
    /// It has just ended: it can still be asked for.
    JustEnded,
    /// It ended long ago.
    Ended,
}

/// In which order processes are forgotten.
#[derive(Debug)]
pub(super) struct Queue {
    short: Short,
    /// How much each family takes, the largest last.
    weights: BTreeSet<(usize, Family)>,
    /// Its processes, the first to go last.
    members: HashMap<Family, Vec<Member>>,
}

/// A process in the order in which its family loses them.
type Member = ((u8, usize, u8, u64), Pid, Stage);

impl Queue {
    /// Of all these.
    pub(super) fn of<'a>(short: Short, all: impl Iterator<Item = Candidate<'a>>) -> Self {
        let mut members: HashMap<Family, Vec<Member>> = HashMap::new();
        let mut weights: HashMap<Family, usize> = HashMap::new();
        let mut counted = HashSet::new();
        for it in all {
            let weight = match short {
                Short::Processes => 1,
                // It is of this family alone: only a child has the same.
                Short::Bytes if counted.insert(place(it.code)) => it.code.bytes(),
                Short::Bytes => 0,
            };
            *weights.entry(it.family).or_default() += weight;
            let member = (it.rank(short), it.pid, it.stage);
            members.entry(it.family).or_default().push(member);
        }
        for family in members.values_mut() {
            family.sort_unstable_by_key(|(rank, ..)| *rank);
        }
        let weights = weights.into_iter().map(|(family, weight)| (weight, family));
        Self {
            short,
            weights: weights.collect(),
            members,
        }
    }

    /// Has the next one forgotten by `forget`, which says how many bytes that makes free. How it stood; `None` where
    /// nobody is left.
    pub(super) fn next(&mut self, forget: impl FnOnce(Pid) -> usize) -> Option<Stage> {
        let (weight, family) = self.weights.pop_last()?;
        let members = self.members.get_mut(&family)?;
        let (_, pid, stage) = members.pop()?;
        let bytes = forget(pid);
        if !members.is_empty() {
            let freed = match self.short {
                Short::Processes => 1,
                Short::Bytes => bytes,
            };
            self.weights.insert((weight.saturating_sub(freed), family));
        }
        Some(stage)
    }
}

impl Candidate<'_> {
    /// The greater, the sooner it goes.
    fn rank(&self, short: Short) -> (u8, usize, u8, u64) {
        let ended_first = u64::MAX - self.age;
        match (self.stage, short) {
            (Stage::Ended, _) => (2, 0, 0, ended_first),
            (Stage::Lives, Short::Processes) => (1, 0, 0, self.age),
            (Stage::JustEnded, Short::Processes) => (0, 0, 0, ended_first),
            (Stage::Lives, Short::Bytes) => (1, self.code.bytes(), 0, self.age),
            (Stage::JustEnded, Short::Bytes) => (1, self.code.bytes(), 1, ended_first),
        }
    }
}
