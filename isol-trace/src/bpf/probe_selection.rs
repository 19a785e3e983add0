//! Which of the probes a set of CPUs wants, which of them a kernel has, and what is not seen then.

use super::{
    btf::KernelTypes,
    error::TracerError,
    probes::{BLIND_SPOTS, PROBES, Probe, When},
};
use crate::event::{
    ids::Cpu,
    model::{Detection, ProbeState, ProbeVerdict},
};

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

/// Without the probes that open and close spans there is nothing to trace, and without the one that tells
/// of children nothing holds them to what `strict` promises.
pub(super) fn check_essential(
    watched: &[(Cpu, Detection)],
    strict: bool,
    verdicts: &[ProbeVerdict],
) -> Result<(), TracerError> {
    let found_by = |wanted| {
        let cpus = watched.iter().filter(move |(_, found)| *found == wanted);
        cpus.map(|(cpu, _)| cpu.to_string()).collect::<Vec<_>>()
    };
    let all = || watched.iter().map(|(cpu, _)| cpu.to_string()).collect();
    for (cpus, names) in [
        (
            found_by(Detection::ContextTracking),
            ["user_exit", "user_enter"].as_slice(),
        ),
        (found_by(Detection::Vectors), &["sys_enter", "sys_exit"]),
        (
            if strict { all() } else { Vec::new() },
            &["sched_process_fork"],
        ),
    ] {
        if cpus.is_empty() {
            continue;
        }
        for &probe in names {
            let verdict = verdicts.iter().find(|verdict| verdict.name == probe);
            let why = match verdict.map(|verdict| &verdict.state) {
                Some(ProbeState::Attached) => continue,
                Some(ProbeState::Absent { why } | ProbeState::Failed { why }) => why.clone(),
                None => "it is not in the table of probes".to_owned(),
            };
            return Err(TracerError::Essential {
                cpus: cpus.join(","),
                probe,
                why,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(attached: &[&str], absent: &[&str]) -> Vec<ProbeVerdict> {
        let why = || "this kernel has none".to_owned();
        let attached = attached.iter().map(|name| (name, ProbeState::Attached));
        let absent = absent
            .iter()
            .map(|name| (name, ProbeState::Absent { why: why() }));
        attached
            .chain(absent)
            .map(|(name, state)| ProbeVerdict {
                name: (*name).to_owned().into(),
                state,
            })
            .collect()
    }

    #[test]
    fn each_detection_wants_its_own_ends_of_a_span() {
        let watched = [
            (Cpu(1), Detection::ContextTracking),
            (Cpu(2), Detection::Vectors),
            (Cpu(5), Detection::Vectors),
        ];
        let all = ["user_exit", "user_enter", "sys_enter", "sys_exit"];
        let check = |cpus, attached, absent| {
            check_essential(cpus, false, &verdicts(attached, absent))
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(&watched, &all, &[]), Ok(()));
        assert_eq!(check(&watched[1..], &all[2..], &[]), Ok(()));
        let sentence = check(&watched, &all[..3], &["sys_exit"]).unwrap_err();
        assert_eq!(
            sentence,
            "cannot trace CPUs 2,5: the probe sys_exit is not attached: this kernel has none"
        );
        assert!(check(&watched, &all[1..], &[]).is_err(), "in no table");
    }

    #[test]
    fn strict_wants_to_know_of_children() {
        let watched = [
            (Cpu(1), Detection::ContextTracking),
            (Cpu(3), Detection::Vectors),
        ];
        let ends = ["user_exit", "user_enter", "sys_enter", "sys_exit"];
        let without = verdicts(&ends, &["sched_process_fork"]);
        assert!(check_essential(&watched, false, &without).is_ok());
        let refused = check_essential(&watched, true, &without).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot trace CPUs 1,3: the probe sched_process_fork is not attached: this kernel has none"
        );
        let with = verdicts(&[&ends[..], &["sched_process_fork"]].concat(), &[]);
        assert!(check_essential(&watched, true, &with).is_ok());
    }
}
