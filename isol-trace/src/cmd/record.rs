//! `record`.

use std::process::ExitCode;

use crate::{error::Error, plan::RecordPlan};

/// Runs a valid `record`.
pub fn run(plan: RecordPlan) -> Result<ExitCode, Error> {
    drop(plan);
    Ok(ExitCode::SUCCESS)
}
