//! The crate for programs that use the series: its tests and examples, in a guest of its kernel.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use super::tap::{self, SILENCE};
use crate::{
    build,
    setup::{KernelImage, Setup},
    verdicts::Verdicts,
    vm::{Guest, Host, initramfs::Extra, qemu::QUIET},
};

/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(5);

/// Where the programs are in the guest.
const FOLDER: &str = "/root";

/// The one that tests; it starts the others itself.
const TESTS: &str = "guest";

/// The examples.
const EXAMPLES: [&str; 2] = ["compute", "oneshot"];

/// Runs them, and says what became of each.
pub(super) fn run(setup: &Setup, host: &Host, kernel: KernelImage) -> Result<Verdicts> {
    let programs = build::task_isolation(&setup.build_tools()?)?;
    let script = format!("{SILENCE}; exec {FOLDER}/{TESTS}");
    let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let guest = Guest {
        append: QUIET.to_owned(),
        extras: extras(&programs)?,
        limit: LIMIT,
        ..Guest::new(kernel, command)
    };
    Ok(tap::run(host, &guest)?.verdicts)
}

/// The programs with their places in the guest.
fn extras(programs: &[(String, PathBuf)]) -> Result<Vec<Extra>> {
    let extra = |name| {
        let found = programs.iter().find(|(built, _)| built == name);
        let (_, path) = found.with_context(|| format!("cargo built no {name}"))?;
        Ok(Extra::new(path.clone(), &format!("{FOLDER}/{name}")))
    };
    [TESTS].into_iter().chain(EXAMPLES).map(extra).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let built = |name: &str| (name.to_owned(), PathBuf::from("/t").join(name));
        let programs = [built("guest"), built("compute"), built("oneshot")];
        assert_eq!(extras(&programs).unwrap().len(), 3);
        let error = extras(&programs[..2]).unwrap_err().to_string();
        assert!(error.contains("oneshot"), "{error}");
    }
}
