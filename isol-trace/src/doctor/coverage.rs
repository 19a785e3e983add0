//! What a trace would see: which probes this kernel has, how entries would be found, what would
//! not be seen. Nothing is attached for it: attaching interrupts every CPU.
//!
//! The lines are those of `record --dry-run`, which attaches all the same, and so knows better.

use std::fmt::Display;

use crate::event::{
    ids::Cpu,
    model::{Detection, ProbeState, ProbeVerdict},
};

/// What a trace of the watched CPUs would see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How the entries of each watched CPU would be found.
    pub detection: Vec<(Cpu, Detection)>,
    /// What these detections cannot see.
    pub blind_spots: Vec<&'static str>,
    /// Each probe that is wanted: `Attached` where the kernel has its hook, and it would be.
    pub probes: Vec<ProbeVerdict>,
    /// Why nothing of this is known.
    pub unknown: Option<String>,
}

impl Coverage {
    /// Nothing is known, for this reason.
    #[must_use]
    pub fn unknown(why: String) -> Self {
        Self {
            unknown: Some(why),
            ..Self::default()
        }
    }

    /// How many of the probes would attach.
    #[must_use]
    pub fn attachable(&self) -> usize {
        self.probes
            .iter()
            .filter(|probe| probe.state == ProbeState::Attached)
            .count()
    }

    /// The probes that would not attach.
    #[must_use]
    pub fn absent(&self) -> Vec<&ProbeVerdict> {
        self.probes
            .iter()
            .filter(|probe| probe.state != ProbeState::Attached)
            .collect()
    }
}

/// How the entries of each CPU are found, a line for each.
pub fn detection_lines(cpus: &[(Cpu, Detection)]) -> impl Iterator<Item = String> {
    cpus.iter()
        .map(|(cpu, detection)| format!("cpu {cpu}: detection by {}", detection.word()))
}

/// What is not seen, a line for each.
pub fn blind_spot_lines<T: Display>(spots: &[T]) -> impl Iterator<Item = String> {
    spots.iter().map(|spot| format!("not seen: {spot}"))
}

/// What became of probes, a line for each, aligned.
#[must_use]
pub fn probe_lines(probes: &[&ProbeVerdict]) -> Vec<String> {
    probe_rows(probes)
        .into_iter()
        .map(|(columns, why)| format!("{columns}{why}").trim_end().to_owned())
        .collect()
}

/// The same in two parts: the columns of name and state, aligned, and why.
#[must_use]
pub fn probe_rows<'a>(probes: &[&'a ProbeVerdict]) -> Vec<(String, &'a str)> {
    let widest = probes
        .iter()
        .map(|probe| probe.name.len())
        .max()
        .unwrap_or(0);
    probes
        .iter()
        .map(|probe| {
            let (word, why) = match &probe.state {
                ProbeState::Attached => ("attached", ""),
                ProbeState::Absent { why } => ("absent", why.as_str()),
                ProbeState::Failed { why } => ("failed", why.as_str()),
            };
            (format!("{:widest$}  {word:8}  ", probe.name), why)
        })
        .collect()
}
