//! Stacks that wait to be unwound.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{OPEN_STACKS, shares::Shares};
use crate::{event::ids::Pid, symbolize::shared::protocol::Payer};

/// Stacks that wait to be unwound, known to both threads.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    shares: Arc<Mutex<Shares>>,
    /// Those that were dropped.
    dropped: Arc<AtomicU64>,
}

impl Waiting {
    /// None does.
    pub(super) fn new() -> Self {
        Self {
            shares: Arc::new(Mutex::new(Shares::new(OPEN_STACKS))),
            dropped: Arc::default(),
        }
    }

    /// Whether one more of a process may wait. It does then, and is dropped if not.
    pub(super) fn add(&self, pid: Pid) -> bool {
        let mut shares = self.lock();
        let has_room = shares.has_room(pid);
        if has_room {
            shares.open(pid);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// One of a process is dropped that waited.
    pub(super) fn drop_one(&self, pid: Pid) {
        self.take(pid);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// One of a process is taken.
    pub(super) fn take(&self, pid: Pid) {
        self.lock().close(pid);
    }

    /// Who pays for a process's.
    pub(super) fn payer(&self, pid: Pid) -> Payer {
        self.lock().payer(pid)
    }

    /// How many were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Both threads keep it for no longer than it takes to count.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
