//! `explain`: why a task was killed.

use std::{path::Path, process::ExitCode};

use super::{print, record::listen, replay::replay};
use crate::{
    error::Error,
    explain::{Ended, Gatherer, KillReports, rendered, rendered_end},
    plan::{RecordPlan, explain::ExplainPlan},
};

/// Runs a valid `explain`.
pub fn run(plan: ExplainPlan) -> Result<ExitCode, Error> {
    match plan {
        ExplainPlan::Log(path) => {
            print(rendered(&of_log(&path)?).as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ExplainPlan::Command(plan) => of_command(*plan),
    }
}

/// What a log tells.
fn of_log(path: &Path) -> Result<KillReports, Error> {
    let mut gatherer = Gatherer::default();
    replay(path, &mut gatherer)?;
    Ok(gatherer.finish())
}

/// Records a command, tells of it, and passes its exit status on.
fn of_command(plan: RecordPlan) -> Result<ExitCode, Error> {
    let name = plan.command.as_ref().map_or_else(String::new, |command| {
        let first = command.words().first();
        first.map_or_else(String::new, |word| word.to_string_lossy().into_owned())
    });
    let trace = &plan.trace;
    let is_filtered = plan.from_prctl || !trace.pids.is_empty() || !trace.comms.is_empty();
    let mut gatherer = Gatherer::default();
    let recorded = listen(plan, false, &mut gatherer)?;
    let Some(status) = recorded.status else {
        return Ok(ExitCode::SUCCESS);
    };
    let end = Ended {
        name: &name,
        pid: recorded.pid,
        status,
        sees_children: recorded.sees_children,
        is_filtered,
        last: recorded.pid.and_then(|pid| gatherer.last_of(pid)),
    };
    // The command may have died inside a line of its own.
    let report = format!("\n{}", rendered_end(&gatherer.finish(), &end));
    match print(report.as_bytes()) {
        Err(error) if !error.is_closed_stdout() => Err(error),
        // Whoever listens no more still gets the status of the command.
        _ => Ok(recorded.exit_code()),
    }
}
