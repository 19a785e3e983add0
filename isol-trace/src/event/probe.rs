//! How entries are found, and what became of the probes that find them.

use std::borrow::Cow;

/// How the entries of a CPU are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// The kernel's own marks: complete.
    ContextTracking,
    /// Derived from the tracepoints of the causes.
    Vectors,
}

impl Detection {
    /// Every detection.
    pub const ALL: [Self; 2] = [Self::ContextTracking, Self::Vectors];

    /// The word that the log shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ContextTracking => "context-tracking",
            Self::Vectors => "vectors",
        }
    }

    /// The detection of a word; `None` where no detection has it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|detection| detection.word() == word)
    }
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeState {
    /// In force (or, in a dry run, would be).
    Attached,
    /// This kernel has no such hook.
    Absent {
        /// Why, in words.
        why: String,
    },
    /// The hook is there and attaching failed.
    Failed {
        /// Why, in words.
        why: String,
    },
}

/// A probe and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeVerdict {
    /// The hook's name in the kernel.
    pub name: Cow<'static, str>,
    /// What became of it.
    pub state: ProbeState,
}
