//! Running other programs: errors that say which command failed and with what words.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;

/// Lines of a failed command's output that an error carries.
const TAIL_LINES: usize = 15;

/// Between two looks at a child.
const GLANCE: Duration = Duration::from_millis(50);

/// Whether a program is in one of the folders of `PATH`.
pub(crate) fn is_installed(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// The command as a person would type it.
fn typed(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        // Writing to a string cannot fail.
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

/// The last `lines` lines of `text`, trimmed.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a command to its end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}",
            typed(command),
            output.status,
            tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a long command with everything it says going to `log`; a failure shows the log's tail. The
/// developer sees that `what` goes on.
pub(crate) fn logged(what: &str, command: &mut Command, log: &Path) -> Result<()> {
    let file =
        File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    let mut progress = Progress::begin(what);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(GLANCE);
        progress.go_on(Some(log));
    };
    drop(progress);
    if !status.success() {
        let said = std::fs::read(log).unwrap_or_default();
        bail!(
            "`{}` failed ({status}); the whole log is {}:\n{}",
            typed(command),
            log.display(),
            tail(&String::from_utf8_lossy(&said), TAIL_LINES)
        );
    }
    Ok(())
}

/// Runs a command whose output the developer sees; its failure is an error.
pub(crate) fn shown(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", typed(command));
    }
    Ok(())
}

/// Waits for a child that does `what`; one that takes longer is killed, and there is no status.
pub(crate) fn wait_with_limit(
    what: &str,
    mut child: Child,
    limit: Duration,
) -> Result<Option<ExitStatus>> {
    let give_up = Instant::now() + limit;
    let mut progress = Progress::begin(what);
    while Instant::now() < give_up {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(GLANCE);
        progress.go_on(None);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo it broke >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c"), "{error}");
        assert!(error.contains("it broke"), "{error}");
        assert!(error.contains('3'), "{error}");
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }
}
