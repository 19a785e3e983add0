//! Which probes would attach, told by the kernel's types alone: nothing is loaded or attached,
//! since that interrupts every CPU.

use super::{
    btf::KernelTypes,
    probe_selection::{exists, wanted},
};
use crate::event::{
    ids::Cpu,
    model::{Detection, ProbeState, ProbeVerdict},
};

/// Every probe that these CPUs want: `Attached` where the kernel has its hook, else `Absent`.
#[must_use]
pub fn availability(watched: &[(Cpu, Detection)], types: &KernelTypes) -> Vec<ProbeVerdict> {
    wanted(watched, types, false)
        .map(|probe| ProbeVerdict {
            name: probe.name.into(),
            state: match exists(probe, types) {
                Ok(()) => ProbeState::Attached,
                Err(why) => ProbeState::Absent { why },
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_types_has_no_hook() {
        let none = KernelTypes::none();
        let names = |detection| -> Vec<_> {
            let verdicts = availability(&[(Cpu(1), detection)], &none);
            assert!(
                verdicts
                    .iter()
                    .all(|it| matches!(it.state, ProbeState::Absent { .. }))
            );
            verdicts.into_iter().map(|it| it.name).collect()
        };
        let tracking = names(Detection::ContextTracking);
        let vectors = names(Detection::Vectors);
        let has = |names: &[_], name: &str| names.iter().any(|it| it == name);
        assert!(has(&tracking, "user_exit") && !has(&vectors, "user_exit"));
        assert!(has(&vectors, "sys_enter") && !has(&tracking, "sys_enter"));
    }
}
