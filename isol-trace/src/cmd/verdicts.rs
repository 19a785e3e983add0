//! What would be watched, and how: the dry run.

use std::fmt::Write as _;

use crate::{
    doctor::coverage::{blind_spot_lines, detection_lines, probe_lines},
    error::Error,
    event::model::Header,
    printable::printable_lines,
};

/// Prints what a trace on this host would see.
pub fn print(header: &Header) -> Result<(), Error> {
    super::print(printable_lines(&text(header)).as_bytes())
}

fn text(header: &Header) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} · Linux {} · {}",
        header.host, header.kernel, header.arch
    );
    for line in detection_lines(&header.cpus) {
        let _ = writeln!(text, "{line}");
    }
    let housekeeping: Vec<_> = header
        .housekeeping
        .iter()
        .map(ToString::to_string)
        .collect();
    let _ = writeln!(text, "housekeeping: {}", housekeeping.join(","));
    let probes: Vec<_> = header.probes.iter().collect();
    for line in blind_spot_lines(&header.blind_spots).chain(probe_lines(&probes)) {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Anchor,
        event::{
            ids::{Cpu, MonoNanos},
            model::{Detection, ProbeState, ProbeVerdict},
        },
    };

    #[test]
    fn every_probe_has_its_verdict_and_why() {
        let verdict = |name: &'static str, state| ProbeVerdict {
            name: name.into(),
            state,
        };
        let header = Header {
            host: "lab".into(),
            kernel: "6.1.0".into(),
            arch: "x86_64".into(),
            no_hz_full: None,
            cpus: vec![
                (Cpu(1), Detection::ContextTracking),
                (Cpu(3), Detection::Vectors),
            ],
            blind_spots: vec!["the end of page faults".into()],
            housekeeping: vec![Cpu(0), Cpu(2)],
            probes: vec![
                verdict("user_exit", ProbeState::Attached),
                verdict(
                    "csd_queue_cpu",
                    ProbeState::Absent {
                        why: "no such tracepoint".into(),
                    },
                ),
            ],
            at: MonoNanos(1),
            anchor: Anchor::new(MonoNanos(1), 0),
        };
        insta::assert_snapshot!(text(&header), @r"
        lab · Linux 6.1.0 · x86_64
        cpu 1: detection by context-tracking
        cpu 3: detection by vectors
        housekeeping: 0,2
        not seen: the end of page faults
        user_exit      attached
        csd_queue_cpu  absent    no such tracepoint
        ");
    }
}
