//! The address spaces of processes, from what they were recorded to do. Bounded.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    act::Act,
    room::{Candidate, Family, Held, Queue, Room, Short, Stage},
    space::{Base, Code, Doubt, Space},
};
use crate::event::ids::{MonoNanos, Pid};

/// A process.
#[derive(Debug)]
struct Kept {
    space: Space,
    /// Who started it, where that was recorded.
    birth: Option<Birth>,
    family: Family,
    /// Its place among all, in the order in which they began their program or ended.
    age: u64,
    has_ended: bool,
}

/// How a process began.
#[derive(Clone, Copy, Debug)]
struct Birth {
    parent: Pid,
    at: MonoNanos,
}

/// The processes.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    all: HashMap<Pid, Kept>,
    /// By how long ago they ended.
    ended: BTreeMap<u64, Pid>,
    /// Ages that were given.
    ages: u64,
    /// Families that were told apart.
    families: u64,
    held: Held,
    room: Room,
    lost: u64,
    forgotten: u64,
}

impl Spaces {
    /// None yet.
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Takes over what a process did.
    pub(super) fn apply(&mut self, at: MonoNanos, act: Act) {
        match act {
            Act::Map { pid, mapping } => {
                if !self.all.contains_key(&pid) {
                    let since = MonoNanos(0);
                    let base = Some(Base { of: pid, at: since });
                    self.begin(pid, since, base, Arc::default(), Family::CROWD);
                }
                if let Some(kept) = self.all.get_mut(&pid) {
                    self.held.release(&kept.space.code);
                    Arc::make_mut(&mut kept.space.code).map(at, mapping);
                    self.held.hold(&kept.space.code);
                }
            }
            Act::Read { pid, code } => {
                let since = self.get(pid).map_or(MonoNanos(0), |known| known.since);
                let code = Code::exactly(at, code);
                self.families += 1;
                self.begin(pid, since, None, Arc::new(code), Family(self.families));
            }
            Act::Fork { pid, parent } => {
                let theirs = self.all.get(&parent).map(|kept| kept.space.clone());
                let doubt = theirs.as_ref().and_then(|theirs| theirs.doubt);
                let (base, code) = match theirs {
                    // What the parent had before it was recorded it has now.
                    Some(Space { base, code, .. }) if base.is_none_or(|it| it.of != parent) => {
                        (base, code)
                    }
                    theirs => (
                        Some(Base { of: parent, at }),
                        theirs.map_or_else(Arc::default, |theirs| theirs.code),
                    ),
                };
                self.begin(pid, at, base, code, self.family(parent));
                if let Some(kept) = self.all.get_mut(&pid) {
                    kept.space.doubt = doubt;
                    kept.birth = Some(Birth { parent, at });
                }
            }
            Act::Exec { pid } => self.begin(pid, at, None, Arc::default(), self.family(pid)),
            Act::Exit { pid } => self.end(pid),
            Act::Lost { records, since } => {
                self.lost += records;
                for (&pid, kept) in &mut self.all {
                    kept.space.doubt(pid, Doubt { since, until: at });
                    // The number of who started it may be another process's by now, unseen.
                    kept.birth = None;
                }
            }
        }
        self.make_room();
    }

    /// What is recorded of a process.
    pub(super) fn get(&self, pid: Pid) -> Option<&Space> {
        self.all.get(&pid).map(|kept| &kept.space)
    }

    /// Whose code a process has besides, if that is another's and still what it was.
    pub(super) fn base(&self, pid: Pid) -> Option<Pid> {
        let base = self.get(pid)?.base.filter(|base| base.of != pid)?;
        let still = self.get(base.of).is_none_or(|it| it.since <= base.at);
        still.then_some(base.of)
    }

    /// Who started a process, if it is known of that number that it is the same process's still.
    pub(super) fn parent(&self, pid: Pid) -> Option<Pid> {
        let birth = self.all.get(&pid)?.birth?;
        let theirs = self.all.get(&birth.parent)?.birth;
        theirs
            .is_none_or(|theirs| theirs.at < birth.at)
            .then_some(birth.parent)
    }

    /// Records that found no room.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Processes that were forgotten for others, and could have been asked for.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn family(&self, pid: Pid) -> Family {
        self.all.get(&pid).map_or(Family::CROWD, |kept| kept.family)
    }

    /// A process begins, or begins another program.
    fn begin(
        &mut self,
        pid: Pid,
        since: MonoNanos,
        base: Option<Base>,
        code: Arc<Code>,
        family: Family,
    ) {
        let birth = self.all.get(&pid).and_then(|before| before.birth);
        self.forget(pid);
        self.ages += 1;
        self.held.hold(&code);
        let kept = Kept {
            space: Space {
                since,
                base,
                code,
                doubt: None,
            },
            birth,
            family,
            age: self.ages,
            has_ended: false,
        };
        self.all.insert(pid, kept);
    }

    /// A process ends; what it was is kept for a while.
    fn end(&mut self, pid: Pid) {
        if let Some(kept) = self.all.get_mut(&pid)
            && !kept.has_ended
        {
            self.ages += 1;
            kept.age = self.ages;
            kept.has_ended = true;
            self.ended.insert(kept.age, pid);
        }
    }

    fn forget(&mut self, pid: Pid) {
        if let Some(kept) = self.all.remove(&pid) {
            self.held.release(&kept.space.code);
            self.ended.remove(&kept.age);
        }
    }

    /// Forgets processes where there is more than there is room for.
    fn make_room(&mut self) {
        if self.held.bytes() > self.room.bytes {
            self.forget_some(Short::Bytes);
        }
        if self.all.len() > self.room.processes {
            self.forget_some(Short::Processes);
        }
    }

    fn forget_some(&mut self, short: Short) {
        let just_ended = self
            .ended
            .keys()
            .nth_back(self.room.ended.saturating_sub(1));
        let just_ended = just_ended.copied().unwrap_or(0);
        let candidates = self.all.iter().map(|(&pid, kept)| Candidate {
            pid,
            family: kept.family,
            code: &kept.space.code,
            stage: match kept.has_ended {
                false => Stage::Lives,
                true if kept.age >= just_ended => Stage::JustEnded,
                true => Stage::Ended,
            },
            age: kept.age,
        });
        let mut queue = Queue::of(short, candidates);
        let enough = self.room.afterwards();
        while match short {
            Short::Bytes => self.held.bytes() > enough.bytes,
            Short::Processes => self.all.len() > enough.processes,
        } {
            let before = self.held.bytes();
            let next = queue.next(|pid| {
                self.forget(pid);
                before - self.held.bytes()
            });
            let Some(stage) = next else { return };
            self.forgotten += u64::from(stage != Stage::Ended);
        }
    }
}

#[cfg(test)]
mod tests;
