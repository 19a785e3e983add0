//! Tasks that come to a watched CPU: whose they are, and who brought them there.

use std::{collections::HashMap, mem};

use isol_trace_common::{
    record::{KIN_WORKER, Kin as Record},
    send::Via,
};

use super::same::same_task;
use crate::event::{
    entry::KernelActivity,
    ids::{Pid, Tid},
    origin::{Origin, RawOrigin, RawSender},
    task::{Kin, TaskId},
    thread_name::thread_name,
};

/// Half of the threads that are remembered.
const MAX_KIN: usize = 2048;

/// Whose threads are.
///
/// The program tells once of a thread that is woken on one CPU again and again. So those that still run are
/// remembered longest: when there are too many, those that have neither come nor run lately are forgotten.
#[derive(Debug, Default)]
pub(super) struct Kinship {
    lately: HashMap<u32, Kin>,
    before: HashMap<u32, Kin>,
}

impl Kinship {
    /// Takes in whose a thread is.
    pub(super) fn put(&mut self, record: &Record) {
        if record.pid == 0 {
            return;
        }
        let parent =
            (record.parent != 0).then(|| (Pid(record.parent), thread_name(record.parent_comm)));
        let kin = Kin {
            pid: Pid(record.pid),
            worker: record.flags & KIN_WORKER != 0,
            parent,
        };
        self.before.remove(&record.tid);
        self.remember(record.tid, kin);
    }

    /// Whose a thread is, which runs.
    pub(super) fn of(&mut self, tid: u32) -> Option<Kin> {
        if let Some(kin) = self.before.remove(&tid) {
            self.remember(tid, kin);
        }
        self.lately.get(&tid).cloned()
    }

    fn remember(&mut self, tid: u32, kin: Kin) {
        if self.lately.len() >= MAX_KIN {
            self.before = mem::take(&mut self.lately);
        }
        self.lately.insert(tid, kin);
    }
}

/// The kernel's thread that moves a task which runs, to where it may run from now on: it acts for the task
/// (`kernel/sched/core.c:migration_cpu_stop`, v6.12).
const MOVERS: &str = "migration/";

/// Of who made a task that ran, or moved it here: says whom the task came by, and puts that in the place of the
/// interrupt that it led to, whose sender is the same.
pub(super) fn explain(
    item: &KernelActivity,
    kin: Option<&Kin>,
    came: &mut RawSender,
    origins: &mut [RawOrigin],
) {
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
            pid: kin.map(|kin| kin.pid),
            tid: Tid(item.number),
            comm: item.comm.clone(),
        });
    }
    let mut interrupts = origins.iter_mut().filter_map(|origin| match origin {
        Origin::Remote(sender) => Some(sender),
        _ => None,
    });
    let is_for_it = |one: &RawSender| {
        matches!(one.via, Via::Reschedule | Via::CrossCall)
            && same_task(one, &by)
            && one.at >= by.at
    };
    if let Some(interrupt) = interrupts.find(|one| is_for_it(one)) {
        **interrupt = came.clone();
    }
}
