//! The report for machines: one JSON object on one line, as `docs/doctor.md` and
//! `docs/schema/isol-trace-doctor-1.schema.json` have it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Finding, Report, Severity};
use crate::{event::model::ProbeState, host::cpu_list::CpuSet};

/// The name of the report's format. It grows by adding; a breaking change raises the number.
pub const SCHEMA_NAME: &str = "isol-trace-doctor/1";

/// JSON Schema (2020-12) of the report.
pub const SCHEMA: &str = include_str!("../../../docs/schema/isol-trace-doctor-1.schema.json");

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    schema: &'static str,
    version: &'static str,
    host: &'a str,
    kernel: &'a str,
    arch: &'a str,
    watched: Vec<u32>,
    housekeeping: Vec<u32>,
    counts: BTreeMap<&'static str, usize>,
    findings: Vec<FindingLine<'a>>,
    mending: MendingLine<'a>,
    coverage: CoverageLine<'a>,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    id: &'static str,
    area: &'static str,
    severity: &'static str,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostLine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remedies: Vec<RemedyLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<&'a str>,
}

#[derive(Serialize)]
struct CostLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    text: &'static str,
}

#[derive(Serialize)]
struct RemedyLine<'a> {
    kind: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct MendingLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<BootLine<'a>>,
    script: &'a str,
    run: &'a [&'static str],
    by_hand: &'a [&'static str],
}

#[derive(Serialize)]
struct BootLine<'a> {
    add: &'a [String],
    replaces: &'a [String],
}

#[derive(Serialize)]
struct CoverageLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'a str>,
    cpus: Vec<CpuLine>,
    blind_spots: &'a [&'static str],
    probes: Vec<ProbeLine<'a>>,
}

#[derive(Serialize)]
struct CpuLine {
    cpu: u32,
    detection: &'static str,
}

#[derive(Serialize)]
struct ProbeLine<'a> {
    name: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// The report as a line.
pub fn line(report: &Report) -> serde_json::Result<String> {
    let facts = &report.facts;
    let coverage = &report.coverage;
    let line = Line {
        r#type: "doctor",
        schema: SCHEMA_NAME,
        version: env!("CARGO_PKG_VERSION"),
        host: &facts.identity.host,
        kernel: &facts.identity.kernel,
        arch: &facts.identity.arch,
        watched: numbers(&facts.watched),
        housekeeping: numbers(&facts.housekeeping),
        counts: Severity::ALL
            .iter()
            .map(|&severity| (severity.word(), report.count(severity)))
            .collect(),
        findings: report.findings.iter().map(finding).collect(),
        mending: MendingLine {
            boot: report.mending.boot.as_ref().map(|boot| BootLine {
                add: &boot.add,
                replaces: &boot.replaces,
            }),
            script: &report.mending.script,
            run: &report.mending.run,
            by_hand: &report.mending.by_hand,
        },
        coverage: CoverageLine {
            unknown: coverage.unknown.as_deref(),
            cpus: coverage
                .detection
                .iter()
                .map(|(cpu, detection)| CpuLine {
                    cpu: cpu.0,
                    detection: detection.word(),
                })
                .collect(),
            blind_spots: &coverage.blind_spots,
            probes: coverage
                .probes
                .iter()
                .map(|probe| {
                    let (state, why) = match &probe.state {
                        ProbeState::Attached => ("attached", None),
                        ProbeState::Absent { why } => ("absent", Some(why.as_str())),
                        ProbeState::Failed { why } => ("failed", Some(why.as_str())),
                    };
                    ProbeLine {
                        name: &probe.name,
                        state,
                        why,
                    }
                })
                .collect(),
        },
    };
    let mut text = serde_json::to_string(&line)?;
    text.push('\n');
    Ok(text)
}

fn finding(finding: &Finding) -> FindingLine<'_> {
    FindingLine {
        id: finding.id,
        area: finding.area.word(),
        severity: finding.severity.word(),
        summary: &finding.summary,
        cost: finding.cost.map(|cost| CostLine {
            rule: cost.rule,
            text: cost.what,
        }),
        remedies: finding
            .remedies
            .iter()
            .map(|remedy| RemedyLine {
                kind: remedy.word(),
                text: remedy.text(),
            })
            .collect(),
        verify: finding.verify.as_deref(),
    }
}

fn numbers(cpus: &CpuSet) -> Vec<u32> {
    cpus.iter().map(|cpu| cpu.0).collect()
}
