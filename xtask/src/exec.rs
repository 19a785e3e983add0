//! Running other programs: errors that say which command failed and with what words.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    io::{self, PipeReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::{progress::Progress, say::say};

/// Lines of a failed command's output that an error carries.
const TAIL_LINES: usize = 15;

/// Between two looks at a child.
const GLANCE: Duration = Duration::from_millis(50);

/// How much of the machine a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All of it.
    Full,
    /// What nothing else wants, such as guests that are tested meanwhile. It ends when we do.
    Idle,
}

impl Pace {
    /// The same command at this pace; where its streams go is not taken along.
    pub(crate) fn of(self, command: &Command) -> Command {
        let mut paced = if self == Self::Idle && *IDLES {
            let mut paced = Command::new("chrt");
            paced.args(["--idle", "0"]).arg(command.get_program());
            paced
        } else {
            Command::new(command.get_program())
        };
        paced.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => paced.env(name, value),
                None => paced.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            paced.current_dir(folder);
        }
        if self == Self::Idle {
            die_with_us(&mut paced);
        }
        paced
    }
}

/// Whether there is a program that starts others so, and it may.
static IDLES: LazyLock<bool> = LazyLock::new(|| {
    let mut chrt = Command::new("chrt");
    output(chrt.args(["--idle", "0", "true"])).is_ok()
});

/// Has the command killed when the thread that starts it ends, however that happens.
pub(crate) fn die_with_us(command: &mut Command) {
    // SAFETY: between fork and exec the closure only makes one system call; it allocates nothing
    // and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

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

/// Runs a command whose output the developer sees; its failure is an error. Where it runs beside
/// others, it is seen if it fails, in one piece.
pub(crate) fn shown(pace: Pace, command: &Command) -> Result<()> {
    let mut paced = pace.of(command);
    let status = match pace {
        Pace::Full => paced.stdin(Stdio::null()).status(),
        Pace::Idle => {
            let (mut child, output) = both_streams(&mut paced)?;
            let said = io::read_to_string(output)?;
            let status = child.wait()?;
            if !status.success() {
                say(said.trim_end());
            }
            Ok(status)
        }
    };
    let status = status.with_context(|| format!("cannot start `{}`", typed(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", typed(command));
    }
    Ok(())
}

/// Starts a command whose standard output and standard error are one stream.
pub(crate) fn both_streams(command: &mut Command) -> Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    // The command would hold its end of the pipe open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child, reader))
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
    fn a_command_is_the_same_at_another_pace() {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "echo $WORD $PWD ${HOME:-homeless} $(chrt -p $$); echo oops >&2",
            ])
            .env("WORD", "hello")
            .env_remove("HOME")
            .current_dir("/");
        for (pace, policy) in [(Pace::Full, "SCHED_OTHER"), (Pace::Idle, "SCHED_IDLE")] {
            let (mut child, output) = both_streams(&mut pace.of(&command)).unwrap();
            let said = io::read_to_string(output).unwrap();
            assert!(child.wait().unwrap().success());
            assert!(said.starts_with("hello / homeless"), "{said}");
            assert!(said.contains("oops"), "{said}");
            assert!(!*IDLES || said.contains(policy), "{said}");
        }
    }

    #[test]
    fn a_failure_beside_others_is_an_error() {
        let mut command = Command::new("sh");
        shown(Pace::Idle, command.args(["-c", "echo unread"])).unwrap();
        let error = shown(Pace::Idle, Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("exit 3"), "{error}");
        shown(Pace::Idle, &Command::new("/no/such/program")).unwrap_err();
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }
}
