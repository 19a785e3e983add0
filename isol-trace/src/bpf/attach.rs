//! Attaching one probe, by the first way that works.

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
};

use super::{
    error::chain,
    probes::{Attach, Probe},
};

/// How far attaching has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Probes that have their verdict.
    pub done: usize,
    /// Probes in all.
    pub of: usize,
}

/// Attaches a probe; returns the program that did it, or why no way worked.
pub(super) fn attach(ebpf: &mut Ebpf, probe: &Probe, btf: &Btf) -> Result<&'static str, String> {
    let mut reasons: Vec<String> = Vec::new();
    for way in probe.ways() {
        let result = match way {
            Attach::BtfTracepoint(program) => run(ebpf, program, |it| match it {
                Program::BtfTracePoint(it) => {
                    it.load(program, btf)?;
                    it.attach().map(drop)
                }
                _ => Err(ProgramError::UnexpectedProgramType),
            }),
            Attach::RawTracepoint(program) => run(ebpf, program, |it| match it {
                Program::RawTracePoint(it) => {
                    it.load()?;
                    it.attach(probe.name).map(drop)
                }
                _ => Err(ProgramError::UnexpectedProgramType),
            }),
            Attach::Function(program) => run(ebpf, program, |it| match it {
                Program::FEntry(it) => {
                    it.load(program, btf)?;
                    it.attach().map(drop)
                }
                _ => Err(ProgramError::UnexpectedProgramType),
            }),
        };
        match result {
            Ok(program) => return Ok(program),
            Err(why) => reasons.push(why),
        }
    }
    Err(reasons.join("; then: "))
}

/// Runs the steps of one way.
fn run(
    ebpf: &mut Ebpf,
    program: &'static str,
    steps: impl FnOnce(&mut Program) -> Result<(), ProgramError>,
) -> Result<&'static str, String> {
    let Some(it) = ebpf.program_mut(program) else {
        return Err(format!("the BPF object has no program {program}"));
    };
    steps(it).map(|()| program).map_err(|error| match &error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let line = reason(&log);
            format!("the verifier refused {program}: {io_error}: {line}")
        }
        other => chain(other),
    })
}

/// What was refused: the last line of the verifier's log before its statistics
/// (`kernel/bpf/verifier.c:print_verification_stats`, v6.1 to v7.2).
fn reason(log: &str) -> &str {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|one| line.starts_with(one)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stands_before_the_statistics() {
        let log = "0: (79) r1 = *(u64 *)(r1 +0)\nR1 invalid mem access 'scalar'\n\
                   verification time 3 usec\nstack depth 16\nprocessed 1 insns (limit 1000000)\n";
        assert_eq!(reason(log), "R1 invalid mem access 'scalar'");
        assert_eq!(reason(""), "");
    }
}
