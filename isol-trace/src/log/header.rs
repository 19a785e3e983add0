//! The first line of a log.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::field::{DetectionWord, Text};
use crate::{
    clock::Anchor,
    event::{
        ids::{Cpu, MonoNanos},
        model::{Detection, Header, ProbeState, ProbeVerdict},
    },
};

/// What the first line says of the log itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The version of isol-trace that wrote it.
    pub version: String,
}

/// The format alone, which has to be known before anything else is read.
#[derive(Debug, Deserialize)]
pub(super) struct Format {
    pub(super) schema: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct JsonHeader {
    version: String,
    host: String,
    kernel: String,
    arch: String,
    cpus: Vec<JsonCpu>,
    housekeeping: Vec<u32>,
    probes: Vec<ReadProbe>,
    time: String,
    mono_ns: u64,
    #[serde(default)]
    blind_spots: Vec<String>,
    no_hz_full: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct JsonCpu {
    cpu: u32,
    detection: DetectionWord,
}

impl JsonCpu {
    /// The CPU and how its entries are found.
    pub(super) fn pair(self) -> (Cpu, Detection) {
        (Cpu(self.cpu), self.detection.0)
    }
}

#[derive(Debug, Deserialize)]
struct JsonProbe {
    name: String,
    state: Text,
    #[serde(default)]
    why: String,
}

/// A probe and what became of it.
#[derive(Debug)]
pub(super) struct ReadProbe(pub(super) ProbeVerdict);

impl<'de> Deserialize<'de> for ReadProbe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let JsonProbe { name, state, why } = JsonProbe::deserialize(deserializer)?;
        let Text(state) = state;
        let state = match &*state {
            "attached" => ProbeState::Attached,
            "absent" => ProbeState::Absent { why },
            "failed" => ProbeState::Failed { why },
            other => {
                return Err(D::Error::custom(format_args!(
                    "'{other}' is not a probe's state that this version of isol-trace knows"
                )));
            }
        };
        let name = name.into();
        Ok(Self(ProbeVerdict { name, state }))
    }
}

impl JsonHeader {
    /// What it says of the log, and what of the trace; `None` where its time is none.
    pub(super) fn parts(self) -> Option<(Preface, Header)> {
        let at = MonoNanos(self.mono_ns);
        let preface = Preface {
            version: self.version,
        };
        let header = Header {
            host: self.host,
            kernel: self.kernel,
            arch: self.arch,
            no_hz_full: self.no_hz_full,
            cpus: self.cpus.into_iter().map(JsonCpu::pair).collect(),
            blind_spots: self.blind_spots.into_iter().map(Into::into).collect(),
            housekeeping: self.housekeeping.into_iter().map(Cpu).collect(),
            probes: self.probes.into_iter().map(|probe| probe.0).collect(),
            at,
            anchor: Anchor::of_text(at, &self.time)?,
        };
        Some((preface, header))
    }
}
