//! The address spaces of processes, from what they were recorded to do. Bounded.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    act::Act,
    space::{Base, Code, Space},
};
use crate::event::ids::{MonoNanos, Pid};

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

/// A process.
#[derive(Debug)]
struct Kept {
    space: Space,
    /// Its place among those that live or among those that have ended.
    age: u64,
    has_ended: bool,
}

/// The processes.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    all: HashMap<Pid, Kept>,
    /// By how long ago they began their program.
    living: BTreeMap<u64, Pid>,
    /// By how long ago they ended.
    ended: BTreeMap<u64, Pid>,
    /// Ages that were given.
    ages: u64,
    bytes: usize,
    room: Room,
    lost: u64,
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
                    self.begin(
                        pid,
                        since,
                        Some(Base { of: pid, at: since }),
                        Arc::default(),
                    );
                }
                if let Some(kept) = self.all.get_mut(&pid) {
                    self.bytes -= kept.space.code.bytes();
                    Arc::make_mut(&mut kept.space.code).map(at, mapping);
                    self.bytes += kept.space.code.bytes();
                }
            }
            Act::Read { pid, code } => {
                let since = self.get(pid).map_or(MonoNanos(0), |known| known.since);
                let code = Code::exactly(at, code);
                self.begin(pid, since, None, Arc::new(code));
            }
            Act::Fork { pid, parent } => {
                let theirs = self.all.get(&parent).map(|kept| kept.space.clone());
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
                self.begin(pid, at, base, code);
            }
            Act::Exec { pid } => self.begin(pid, at, None, Arc::default()),
            Act::Exit { pid } => self.end(pid),
            Act::Lost { records } => {
                // Any of them may have executed another program since.
                self.lost += records;
                self.all.clear();
                self.living.clear();
                self.ended.clear();
                self.bytes = 0;
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

    /// Records that found no room.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// A process begins, or begins another program.
    fn begin(&mut self, pid: Pid, since: MonoNanos, base: Option<Base>, code: Arc<Code>) {
        self.forget(pid);
        self.ages += 1;
        self.bytes += code.bytes();
        self.living.insert(self.ages, pid);
        let kept = Kept {
            space: Space { since, base, code },
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
            self.living.remove(&kept.age);
            self.ages += 1;
            kept.age = self.ages;
            kept.has_ended = true;
            self.ended.insert(kept.age, pid);
        }
    }

    fn forget(&mut self, pid: Pid) {
        if let Some(kept) = self.all.remove(&pid) {
            self.bytes -= kept.space.code.bytes();
            self.living.remove(&kept.age);
            self.ended.remove(&kept.age);
        }
    }

    /// Forgets who ended longest ago, and where these are few, who began longest ago.
    fn make_room(&mut self) {
        while self.all.len() > self.room.processes || self.bytes > self.room.bytes {
            let oldest_living = self.living.first_key_value();
            let ended = self.ended.first_key_value();
            let ended =
                ended.filter(|_| oldest_living.is_none() || self.ended.len() > self.room.ended);
            let Some((_, &pid)) = ended.or(oldest_living) else {
                return;
            };
            self.forget(pid);
        }
    }
}

#[cfg(test)]
mod tests;
