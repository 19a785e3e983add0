//! Which of the probes a set of CPUs wants, which of them a kernel has, and what is not seen then.

use super::{
    btf::KernelTypes,
    probes::{BLIND_SPOTS, PROBES, Probe, When},
};
use crate::event::{ids::Cpu, model::Detection};

/// What the detections in force cannot see.
#[must_use]
pub fn blind_spots(watched: &[(Cpu, Detection)]) -> Vec<&'static str> {
    if watched
        .iter()
        .any(|(_, detection)| *detection == Detection::Vectors)
    {
        BLIND_SPOTS.to_vec()
    } else {
        Vec::new()
    }
}

/// The probes that these CPUs want on this kernel; `strict`: breaches are answered with a signal.
pub(super) fn wanted(
    watched: &[(Cpu, Detection)],
    types: &KernelTypes,
    strict: bool,
) -> impl Iterator<Item = &'static Probe> {
    let detections: Vec<_> = watched.iter().map(|(_, detection)| *detection).collect();
    PROBES.iter().filter(move |probe| match probe.when {
        When::Always => true,
        When::Detection(detection) => detections.contains(&detection),
        When::Without(tracepoint) => !types.has_tracepoint(tracepoint),
        When::There => types.has_tracepoint(probe.name),
        When::Strict => strict,
    })
}

/// Whether the kernel has the tracepoint or function; if not, why.
pub(super) fn exists(probe: &Probe, types: &KernelTypes) -> Result<(), String> {
    let (exists, what) = match probe.when {
        When::Without(_) => (types.function_number(probe.name).is_some(), "function"),
        When::Always | When::Detection(_) | When::There | When::Strict => {
            (types.has_tracepoint(probe.name), "tracepoint")
        }
    };
    if exists {
        Ok(())
    } else {
        Err(format!("this kernel has no {what} {}", probe.name))
    }
}
