//! `top`.

use std::process::ExitCode;

use crate::{error::Error, plan::TopPlan};

/// Runs a valid `top`.
pub fn run(plan: TopPlan) -> Result<ExitCode, Error> {
    drop(plan);
    Ok(ExitCode::SUCCESS)
}
