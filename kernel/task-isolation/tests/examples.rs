//! The examples where they cannot work: a clear answer, and exit status 2.

use std::{
    env,
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use task_isolation::{Error, features};

/// Runs an example. Cargo builds them before it runs the tests, beside the folder of their programs.
fn run(name: &str, arguments: &[&str]) -> Result<Output> {
    let here = env::current_exe()?;
    let profile = here.ancestors().nth(2).context("no folder")?;
    let program = profile.join("examples").join(name);
    Ok(Command::new(program).args(arguments).output()?)
}

#[test]
fn a_kernel_without_the_feature_gets_a_clear_answer() -> Result<()> {
    let Err(Error::Unsupported { release }) = features() else {
        // What they do on a kernel that has it, `tests/guest` shows.
        return Ok(());
    };
    for name in ["compute", "oneshot"] {
        let output = run(name, &[])?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let start = format!("{name}: Linux {release} has no task isolation: ");
        assert!(told.starts_with(&start), "{told}");
        assert!(output.stdout.is_empty());
    }
    Ok(())
}

#[test]
fn a_bad_argument_is_answered_with_the_usage() -> Result<()> {
    for name in ["compute", "oneshot"] {
        let output = run(name, &["--help"])?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(&format!("usage: {name} [--cpu N]")), "{told}");
    }
    Ok(())
}
