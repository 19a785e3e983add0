//! What belongs to the end of one process.

use std::sync::Arc;

use crate::{
    event::{
        ids::{MonoNanos, Seq},
        model::{Breach, Kill, KilledBy, Unlogged},
    },
    remedy::Numbers,
};

/// An entry of the task: the one that led to a signal, or in which it arrived, or one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is in the log.
    Logged(Arc<Breach>),
    /// It found no room there, and is known from the kernel's memory.
    Unlogged(Unlogged),
    /// Its record is not there, and the signal that it led to tells of it.
    OfSignal(Unlogged),
}

impl Entry {
    /// When the task left user mode.
    #[must_use]
    pub fn at(&self) -> MonoNanos {
        match self {
            Self::Logged(breach) => breach.at,
            Self::Unlogged(entry) | Self::OfSignal(entry) => entry.at,
        }
    }
}

/// A signal, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillReport {
    /// The signal.
    pub kill: Kill,
    /// Breaches that the signal names, as far as they have been seen.
    pub(super) known: Vec<Arc<Breach>>,
    /// CPUs of the host that the log was made on.
    pub(super) host: Numbers,
    /// Exceptions other than page faults are not seen on the CPU of the signal.
    pub(super) is_blind: bool,
    /// Threads that got a signal of this process's end, this one included.
    pub(super) threads: Vec<u32>,
    /// How often the process was signalled so after that, without being ended.
    pub(super) repeats: u64,
}

impl KillReport {
    /// The beginning of one.
    pub(super) fn of(kill: &Kill, host: &Numbers) -> Self {
        Self {
            kill: kill.clone(),
            host: host.clone(),
            known: Vec::new(),
            is_blind: false,
            threads: vec![kill.task.tid.0],
            repeats: 0,
        }
    }

    /// Other threads that died with this one.
    #[must_use]
    pub fn others(&self) -> usize {
        if self.kill.fatal {
            self.threads.len().saturating_sub(1)
        } else {
            0
        }
    }

    /// Whether the signal names a breach of this number that has not been seen.
    pub(super) fn wants(&self, seq: Seq) -> bool {
        (self.kill.breach == Some(seq) || self.kill.history.contains(&seq))
            && self.known.iter().all(|known| known.seq != seq)
    }

    /// The entry that led to it.
    #[must_use]
    pub fn culprit(&self) -> Option<Entry> {
        let of_signal = || self.kill.entry.clone().map(Entry::OfSignal);
        let Some(seq) = self.kill.breach else {
            let remembered = || self.last_unlogged().cloned().map(Entry::Unlogged);
            return of_signal().or_else(remembered);
        };
        let logged = self.known.iter().find(|breach| breach.seq == seq);
        logged.map(Arc::clone).map(Entry::Logged).or_else(of_signal)
    }

    /// The last entry of the kernel's memory, if it is later than those of the log: then it is the one whose
    /// record is missing.
    fn last_unlogged(&self) -> Option<&Unlogged> {
        let last = self.kill.unlogged.iter().max_by_key(|entry| entry.at)?;
        let is_last = self.known.iter().all(|breach| breach.at < last.at);
        (is_last && last.at <= self.kill.at).then_some(last)
    }

    /// The entries before that one, in order.
    #[must_use]
    pub fn before(&self) -> Vec<Entry> {
        let culprit = match (self.kill.breach, &self.kill.entry) {
            (None, None) => self.last_unlogged().map(|entry| entry.at),
            (_, of_signal) => of_signal.as_ref().map(|entry| entry.at),
        };
        let logged = self
            .known
            .iter()
            .filter(|breach| Some(breach.seq) != self.kill.breach)
            .map(|breach| Entry::Logged(Arc::clone(breach)));
        let unlogged = self
            .kill
            .unlogged
            .iter()
            .filter(|entry| Some(entry.at) != culprit)
            .map(|entry| Entry::Unlogged(entry.clone()));
        let mut all: Vec<_> = logged.chain(unlogged).collect();
        all.sort_by_key(Entry::at);
        all
    }

    /// Breaches before it that the signal names and that have not been seen.
    #[must_use]
    pub fn missing(&self) -> usize {
        let mut seqs: Vec<_> = self.kill.history.clone();
        seqs.sort_unstable();
        seqs.dedup();
        seqs.into_iter()
            .filter(|&seq| Some(seq) != self.kill.breach && self.wants(seq))
            .count()
    }
}

/// How much a signal says of the end of its process: of several the least is told.
pub(super) fn rank(kill: &Kill) -> (u8, MonoNanos) {
    let rank = match kill.by {
        KilledBy::StrictMode | KilledBy::Tracer => 0,
        KilledBy::Task | KilledBy::Remote(_) | KilledBy::Kernel => 1,
        // What the other threads of a process get is raised by nobody that was seen.
        KilledBy::Unknown => 2,
    };
    (rank, kill.at)
}
