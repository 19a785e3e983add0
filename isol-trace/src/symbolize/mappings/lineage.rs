//! Which processes a command has started, and those have started, as the kernel records each fork: by who forks, so that a
//! daemon and whatever else has left its parent behind are the command's all the same. Bounded.
//!
//! What is not known is never taken for the command's: where records were lost, a number may be another process's from
//! then on, unseen.

use std::collections::{HashMap, VecDeque};

use super::act::Act;
use crate::event::ids::{MonoNanos, Pid};

/// Processes that are kept.
const ALL: usize = 65_536;

/// Processes that have ended and are kept: what happened to one is heard of a little later.
const ENDED: usize = 16_384;

/// A process that descends from the tracer.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// That child of the tracer from which it descends: the command, or a guard above that.
    tree: u64,
    since: MonoNanos,
    /// From then on its number may be another process's; `None` for never.
    doubted: Option<MonoNanos>,
    /// Its number among those that ended; 0 while it lives.
    ended: u64,
}

/// The processes that descend from the tracer.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// The tracer's own process.
    own: Option<Pid>,
    command: Option<Pid>,
    lives: HashMap<Pid, Life>,
    /// Those that ended, the oldest first.
    ended: VecDeque<(Pid, u64)>,
    trees: u64,
    ends: u64,
}

impl Lineage {
    /// Of this process, as the records call it.
    pub(super) fn of(own: Pid) -> Self {
        Self {
            own: Some(own),
            ..Self::default()
        }
    }

    /// Takes over what a process did.
    pub(super) fn apply(&mut self, at: MonoNanos, act: &Act) {
        match *act {
            Act::Fork { pid, parent } => {
                // Whoever had this number before is no more.
                self.lives.remove(&pid);
                if let Some(tree) = self.tree_of_child(parent) {
                    self.begin(pid, tree, at);
                }
            }
            Act::Exit { pid } => self.end(pid),
            Act::Lost { since, .. } => {
                for (pid, life) in &mut self.lives {
                    // Nobody else has its number while it is not waited for, which the tracer or its guard does.
                    if self.command != Some(*pid) {
                        life.doubted.get_or_insert(since);
                    }
                }
            }
            Act::Map { .. } | Act::Read { .. } | Act::Exec { .. } => {}
        }
    }

    /// The tracer has started its command, and everything until this moment was applied.
    pub(super) fn command_is(&mut self, pid: Pid, now: MonoNanos) {
        self.command = Some(pid);
        if let Some(life) = self.lives.get_mut(&pid) {
            life.doubted = None;
        } else {
            // Its record was lost.
            self.trees += 1;
            self.begin(pid, self.trees, now);
        }
    }

    /// Whether a process was seen, at a moment, to be the command or to descend from it.
    pub(super) fn is_of_command(&self, pid: Pid, at: MonoNanos) -> bool {
        let tree_at = |pid: Pid| {
            let life = self.lives.get(&pid)?;
            let is_certain = life.doubted.is_none_or(|doubted| at < doubted);
            (life.since <= at && is_certain).then_some(life.tree)
        };
        let command = self.command.and_then(|command| self.lives.get(&command));
        command.is_some_and(|command| tree_at(pid) == Some(command.tree))
    }

    /// To which tree a child of this process belongs.
    fn tree_of_child(&mut self, parent: Pid) -> Option<u64> {
        if self.own == Some(parent) {
            self.trees += 1;
            return Some(self.trees);
        }
        let life = self.lives.get(&parent)?;
        life.doubted.is_none().then_some(life.tree)
    }

    fn begin(&mut self, pid: Pid, tree: u64, since: MonoNanos) {
        if self.lives.len() < ALL {
            let life = Life {
                tree,
                since,
                doubted: None,
                ended: 0,
            };
            self.lives.insert(pid, life);
        }
    }

    /// A process ends. The command's number is remembered for as long as the trace runs.
    fn end(&mut self, pid: Pid) {
        let is_command = self.command == Some(pid);
        let Some(life) = self.lives.get_mut(&pid).filter(|_| !is_command) else {
            return;
        };
        self.ends += 1;
        life.ended = self.ends;
        self.ended.push_back((pid, self.ends));
        if self.ended.len() > ENDED
            && let Some((oldest, number)) = self.ended.pop_front()
            && self.lives.get(&oldest).is_some_and(|it| it.ended == number)
        {
            self.lives.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Pid = Pid(10);
    const COMMAND: Pid = Pid(20);

    fn fork(parent: u32, pid: u32) -> Act {
        Act::Fork {
            pid: Pid(pid),
            parent: Pid(parent),
        }
    }

    fn exit(pid: u32) -> Act {
        Act::Exit { pid: Pid(pid) }
    }

    fn lost(since: u64) -> Act {
        Act::Lost {
            records: 3,
            since: MonoNanos(since),
        }
    }

    /// One act a nanosecond, from 1 on.
    fn after(acts: &[Act]) -> Lineage {
        let mut lineage = Lineage::of(OWN);
        for (at, act) in (1..).zip(acts) {
            lineage.apply(MonoNanos(at), act);
        }
        lineage.command_is(COMMAND, MonoNanos(acts.len() as u64 + 1));
        lineage
    }

    fn is_of_command(lineage: &Lineage, pid: u32) -> bool {
        lineage.is_of_command(Pid(pid), MonoNanos(100))
    }

    #[test]
    fn all_that_the_command_has_started_is_its_own() {
        // Another child of the tracer, the command, its child, a daemon whose parent has ended, and a stranger.
        let lineage = after(&[
            fork(10, 11),
            fork(10, 20),
            fork(11, 12),
            fork(20, 21),
            fork(21, 22),
            exit(21),
            fork(1, 30),
        ]);
        for own in [20, 21, 22] {
            assert!(is_of_command(&lineage, own), "{own}");
        }
        for other in [1, 10, 11, 12, 30] {
            assert!(!is_of_command(&lineage, other), "{other}");
        }
        assert!(!lineage.is_of_command(Pid(22), MonoNanos(4)), "not yet");
    }

    #[test]
    fn below_a_guard_it_is_the_same() {
        let lineage = after(&[fork(10, 15), fork(15, 20), fork(20, 21)]);
        assert!(is_of_command(&lineage, 21));
    }

    #[test]
    fn a_number_that_comes_again_is_another_process() {
        let lineage = after(&[fork(10, 20), fork(20, 21), exit(21), fork(1, 21)]);
        assert!(!is_of_command(&lineage, 21));
    }

    #[test]
    fn after_a_loss_only_the_command_is_certain() {
        let mut lineage = after(&[fork(10, 20), fork(20, 21)]);
        for act in [lost(3), fork(21, 22), fork(20, 23)] {
            lineage.apply(MonoNanos(5), &act);
        }
        assert!(lineage.is_of_command(Pid(21), MonoNanos(2)), "before it");
        for unknown in [21, 22] {
            assert!(!is_of_command(&lineage, unknown), "{unknown}");
        }
        for own in [20, 23] {
            assert!(is_of_command(&lineage, own), "{own}");
        }
    }

    #[test]
    fn a_command_whose_record_was_lost_has_its_later_children() {
        let mut lineage = after(&[lost(0)]);
        lineage.apply(MonoNanos(5), &fork(20, 21));
        assert!(is_of_command(&lineage, 20) && is_of_command(&lineage, 21));
    }

    #[test]
    fn a_command_that_starts_without_end_is_bounded() {
        let mut lineage = after(&[fork(10, 20), fork(20, 21)]);
        for pid in 100..300_000 {
            lineage.apply(MonoNanos(5), &fork(20, pid));
            lineage.apply(MonoNanos(5), &exit(pid));
        }
        assert!(lineage.ended.len() <= ENDED && lineage.lives.len() <= ENDED + 2);
        for own in [20, 21, 299_999] {
            assert!(is_of_command(&lineage, own), "{own}");
        }
        assert!(!is_of_command(&lineage, 100));
        for pid in 300_000..400_000 {
            lineage.apply(MonoNanos(5), &fork(20, pid));
        }
        assert!(lineage.lives.len() <= ALL);
    }
}
