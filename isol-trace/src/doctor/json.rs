//! The report for machines: one JSON object on one line, as `docs/doctor.md` and
//! `docs/schema/isol-trace-doctor-1.schema.json` have it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Finding, Report, Severity};
use crate::{
    event::ids::Cpu,
    host::cpu_list::CpuSet,
    wire::model::{Probe, WatchedCpu},
};

/// The name of the report's format. It grows by adding; a breaking change raises the number.
pub const SCHEMA_NAME: &str = "isol-trace-doctor/1";

/// JSON Schema (2020-12) of the report.
pub const SCHEMA: &str = include_str!("../../../docs/schema/isol-trace-doctor-1.schema.json");

/// What `isol-trace doctor --json` prints: one JSON object. Fields, findings and words that this schema does not name may
/// appear with a later version; a reader skips them. An absent field is not known.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Line<'a> {
    #[cfg_attr(test, schemars(extend("const" = "doctor")))]
    r#type: &'static str,
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_NAME)))]
    schema: &'static str,
    /// Of isol-trace.
    #[cfg_attr(test, schemars(length(min = 1)))]
    version: &'static str,
    host: &'a str,
    /// uname -r
    #[cfg_attr(test, schemars(length(min = 1)))]
    kernel: &'a str,
    /// uname -m
    #[cfg_attr(test, schemars(length(min = 1)))]
    arch: &'a str,
    #[cfg_attr(test, schemars(length(min = 1), extend("uniqueItems" = true)))]
    watched: Vec<Cpu>,
    #[cfg_attr(test, schemars(length(min = 1), extend("uniqueItems" = true)))]
    housekeeping: Vec<Cpu>,
    /// How many findings there are of each severity.
    #[cfg_attr(test, schemars(extend("required" = tests::severities())))]
    counts: BTreeMap<&'static str, usize>,
    /// The worst first.
    findings: Vec<FindingLine<'a>>,
    mending: MendingLine<'a>,
    coverage: CoverageLine<'a>,
}

/// One thing that was checked.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(
        rename = "finding",
        extend(
            "if" = { "properties": { "severity": { "enum": ["defect", "warning"] } } },
            "then" = { "required": ["cost", "remedies", "verify"] }
        )
    )
)]
struct FindingLine<'a> {
    /// Stable.
    #[cfg_attr(test, schemars(pattern("^[a-z0-9]+(-[a-z0-9]+)*$")))]
    id: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = tests::areas())))]
    area: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = tests::severities())))]
    severity: &'static str,
    #[cfg_attr(test, schemars(length(min = 1)))]
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostLine>,
    /// Any of them mends it.
    #[cfg_attr(test, schemars(length(min = 1)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remedies: Vec<RemedyLine<'a>>,
    /// A command that shows how it stands.
    #[cfg_attr(test, schemars(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<&'a str>,
}

/// What it costs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "cost"))]
struct CostLine {
    /// The rule that names the breach which it causes.
    #[cfg_attr(test, schemars(pattern("^[a-z0-9]+(-[a-z0-9]+)*$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[cfg_attr(test, schemars(length(min = 1)))]
    text: &'static str,
}

/// What mends a finding.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "remedy"))]
struct RemedyLine<'a> {
    #[cfg_attr(test, schemars(extend("enum" = ["boot", "run", "change"])))]
    kind: &'static str,
    #[cfg_attr(test, schemars(length(min = 1)))]
    text: &'a str,
}

/// One kernel command line and one script for all defects and warnings.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "mending"))]
struct MendingLine<'a> {
    /// What the kernel's command line needs; absent where it needs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<BootLine<'a>>,
    /// A script of a POSIX shell, for root, to be run after each boot.
    #[cfg_attr(test, schemars(length(min = 1)))]
    script: &'a str,
    /// Findings that the script mends.
    run: &'a [&'static str],
    /// Findings that neither mends.
    by_hand: &'a [&'static str],
}

/// What the kernel's command line needs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "boot"))]
struct BootLine<'a> {
    /// Arguments to add.
    #[cfg_attr(test, schemars(length(min = 1), inner(length(min = 1))))]
    add: &'a [String],
    /// Arguments that are there, whose place they take.
    #[cfg_attr(test, schemars(inner(length(min = 1))))]
    replaces: &'a [String],
}

/// What a trace would see. Nothing was attached for it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "coverage"))]
struct CoverageLine<'a> {
    /// Why nothing of this is known.
    #[cfg_attr(test, schemars(length(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'a str>,
    cpus: Vec<WatchedCpu>,
    #[cfg_attr(test, schemars(inner(length(min = 1))))]
    blind_spots: &'a [&'static str],
    /// `attached`: the kernel has the hook, and the probe would attach. Nothing was attached.
    probes: Vec<Probe<'a>>,
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
            cpus: coverage.detection.iter().map(Into::into).collect(),
            blind_spots: &coverage.blind_spots,
            probes: coverage.probes.iter().map(Into::into).collect(),
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

fn numbers(cpus: &CpuSet) -> Vec<Cpu> {
    cpus.iter().collect()
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;
    use crate::{
        doctor::finding::Area,
        wire::schema::{compare, generated},
    };

    pub(super) fn severities() -> Vec<&'static str> {
        Severity::ALL
            .iter()
            .map(|severity| severity.word())
            .collect()
    }

    pub(super) fn areas() -> Vec<&'static str> {
        Area::ALL.iter().map(|area| area.word()).collect()
    }

    /// The file is what the model says. `UPDATE_SCHEMA=1 cargo test -p isol-trace --lib schema` writes it.
    #[test]
    fn the_schema_is_that_of_the_model() {
        let file = "isol-trace-doctor-1.schema.json";
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut schema = generated::<Line<'_>>(settings, SCHEMA_NAME, file);
        // Reports of the first version have none.
        let required = schema["required"].as_array_mut().unwrap();
        required.retain(|name| name != "mending");
        compare(&schema, file, SCHEMA);
    }
}
