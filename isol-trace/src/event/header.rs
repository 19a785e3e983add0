//! What is watched: the first line of a log, and how that changes with the host.

use std::borrow::Cow;

use super::{
    ids::{Cpu, MonoNanos},
    probe::{Detection, ProbeVerdict},
};
use crate::clock::Anchor;

/// The first line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Host name.
    pub host: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// Whether the kernel is built with `CONFIG_NO_HZ_FULL`: without it `nohz_full=` means nothing
    /// to it. `None` in a log of an isol-trace that did not say.
    pub no_hz_full: Option<bool>,
    /// Watched CPUs and how their entries are found.
    pub cpus: Vec<(Cpu, Detection)>,
    /// What the detection in force cannot see, in words; empty with context tracking alone.
    pub blind_spots: Vec<Cow<'static, str>>,
    /// Housekeeping CPUs.
    pub housekeeping: Vec<Cpu>,
    /// Every probe and its verdict.
    pub probes: Vec<ProbeVerdict>,
    /// When the log began (armed).
    pub at: MonoNanos,
    /// Where the clock of the log's times lies on the calendar.
    pub anchor: Anchor,
}

/// What happened to a CPU of the watched set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuChange {
    /// The host isolates it now: it is watched.
    Isolated,
    /// The host isolates it no longer: neither is it watched.
    Released,
    /// It runs.
    Online,
    /// It does not run. It stays watched.
    Offline,
}

impl CpuChange {
    /// Every change.
    pub const ALL: [Self; 4] = [Self::Isolated, Self::Released, Self::Online, Self::Offline];

    /// The word that the log shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Released => "released",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    /// The change that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.word() == word)
    }
}

/// The watched set has changed with the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedSet {
    /// Since when the programs know.
    pub at: MonoNanos,
    /// What happened to which CPU.
    pub changes: Vec<(Cpu, CpuChange)>,
    /// Watched CPUs that run, and how their entries are found.
    pub cpus: Vec<(Cpu, Detection)>,
    /// What the detections in force cannot see, in words.
    pub blind_spots: Vec<Cow<'static, str>>,
    /// Housekeeping CPUs.
    pub housekeeping: Vec<Cpu>,
    /// Probes that this change needed first, and their verdicts.
    pub probes: Vec<ProbeVerdict>,
}
