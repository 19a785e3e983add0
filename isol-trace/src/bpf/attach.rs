//! Attaching one probe, by the first way that works.

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
};

use super::{
    probes::{Attach, Probe},
    tracer::chain,
};

/// Attaches a probe; returns the program that did it, or why no way worked.
pub(super) fn attach(ebpf: &mut Ebpf, probe: &Probe, btf: &Btf) -> Result<&'static str, String> {
    let mut reasons: Vec<String> = Vec::new();
    for way in probe.ways {
        let result = match *way {
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
            // The log ends with what was refused, and a line of statistics.
            let log = verifier_log.to_string();
            let line = log
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty() && !line.starts_with("processed "))
                .unwrap_or_default();
            format!("the verifier refused {program}: {io_error}: {line}")
        }
        other => chain(other),
    })
}
