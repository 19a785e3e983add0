//! Tasks that come to a watched CPU: whose they are, and who brought them there.

use std::collections::HashMap;

use isol_trace_common::record::{KIN_WORKER, Kin as Record};

use super::same_task;
use crate::event::{
    assemble::name,
    ids::{Pid, Tid},
    model::{Activity, ActivityItem, Breach, Kin, Origin, Sender, TaskId, Via},
};

/// Threads that are remembered; beyond that all are forgotten, and told anew when they come again.
const MAX_KIN: usize = 4096;

/// Whose threads are.
#[derive(Debug, Default)]
pub(super) struct Kinship {
    by_thread: HashMap<u32, Kin>,
}

impl Kinship {
    /// Takes in whose a thread is.
    pub(super) fn put(&mut self, record: &Record) {
        if record.pid == 0 {
            return;
        }
        if self.by_thread.len() >= MAX_KIN {
            self.by_thread.clear();
        }
        let parent = (record.parent != 0).then(|| (Pid(record.parent), name(record.parent_comm)));
        let kin = Kin {
            pid: Pid(record.pid),
            worker: record.flags & KIN_WORKER != 0,
            parent,
        };
        self.by_thread.insert(record.tid, kin);
    }

    /// Says of those that ran in a breach whose they are.
    pub(super) fn tell(&self, breach: &mut Breach) {
        for item in &mut breach.activities {
            if item.kind == Activity::Switch {
                item.kin = self.by_thread.get(&item.number).cloned();
            }
        }
    }
}

/// The kernel's thread that moves a task which runs, to where it may run from now on: it acts for the task
/// (`kernel/sched/core.c:migration_cpu_stop`, v6.12).
const MOVERS: &str = "migration/";

/// Of who made a task that ran, or moved it here: says whom the task came by, and puts that in the place of the
/// interrupt that it led to, whose sender is the same.
pub(super) fn explain(item: &ActivityItem, came: &mut Sender, origins: &mut [Origin]) {
    if !matches!(came.via, Via::Fork | Via::Move) {
        return;
    }
    let by = came.clone();
    let is_mover = |task: &TaskId| {
        task.comm
            .as_deref()
            .is_some_and(|it| it.starts_with(MOVERS))
    };
    if came.task.as_ref().is_some_and(is_mover) {
        came.task = Some(TaskId {
            pid: item.kin.as_ref().map(|kin| kin.pid),
            tid: Tid(item.number),
            comm: item.comm.clone(),
        });
    }
    let mut interrupts = origins.iter_mut().filter_map(|origin| match origin {
        Origin::Remote(sender) => Some(sender),
        _ => None,
    });
    let is_for_it = |one: &Sender| {
        matches!(one.via, Via::Reschedule | Via::CrossCall)
            && same_task(one, &by)
            && one.at >= by.at
    };
    if let Some(interrupt) = interrupts.find(|one| is_for_it(one)) {
        **interrupt = came.clone();
    }
}
