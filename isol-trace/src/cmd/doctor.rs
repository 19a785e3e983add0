//! `doctor`: what this host isolates, what it leaves noisy, and how to mend it.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use super::print;
use crate::{
    bpf::{availability::availability, btf::KernelTypes, probe_selection::blind_spots},
    doctor::{
        Facts, Report, Severity,
        coverage::Coverage,
        json,
        text::{self, Page},
    },
    error::Error,
    event::{ids::Cpu, model::Detection},
    host::{Host, affinity, cpu_list::CpuSet, detection::detection},
    plan::doctor::{DoctorPlan, Form},
    tui::theme::Theme,
};

/// There is a defect.
const DEFECT: u8 = 1;

/// Runs a valid `doctor`.
pub fn run(plan: DoctorPlan, host: &Host) -> Result<ExitCode, Error> {
    // A recorded host has no CPUs to stay away from.
    if host.is_live() {
        affinity::confine(&plan.watched.tracer)?;
        affinity::disable_huge_pages()?;
    }
    let coverage = coverage(host, &plan.watched.watched, &plan.watched.nohz_full);
    let form = plan.form;
    let facts = Facts::read(host, plan.watched, plan.present, plan.identity);
    let report = Report::new(facts, coverage);
    let text = match form {
        Form::Text => text::text(&report, page()),
        Form::Json => json::line(&report).map_err(|error| Error::Stdout(error.into()))?,
        Form::Script => report.mending.script.clone(),
    };
    // Whoever reads no further, as `head`, has the verdict all the same.
    match print(text.as_bytes()) {
        Err(error) if !error.is_closed_stdout() => return Err(error),
        _ => {}
    }
    Ok(match report.count(Severity::Defect) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(DEFECT),
    })
}

/// What the text is written on: as wide as the terminal, with the colours that it and the
/// environment allow.
fn page() -> Page {
    if !io::stdout().is_terminal() {
        return Page::PLAIN;
    }
    let size = crossterm::terminal::window_size().ok();
    let theme = Theme::from_environment(|name| std::env::var(name).ok());
    Page::terminal(size.map(|size| size.columns), theme.color)
}

/// What a trace would see, as far as the kernel's types tell.
fn coverage(host: &Host, watched: &CpuSet, nohz_full: &CpuSet) -> Coverage {
    if let Err(error) = host.require_probes() {
        return Coverage::unknown(error.to_string());
    }
    let types = match KernelTypes::read(&host.btf_path()) {
        Ok(types) => types,
        Err(error) => return Coverage::unknown(error.to_string()),
    };
    let has_user_exit = types.has_tracepoint("user_exit");
    let found: Vec<(Cpu, Detection)> = watched
        .iter()
        .map(|cpu| (cpu, detection(cpu, nohz_full, has_user_exit)))
        .collect();
    Coverage {
        blind_spots: blind_spots(&found),
        probes: availability(&found, &types),
        detection: found,
        unknown: None,
    }
}
