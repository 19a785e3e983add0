//! Runs `isol-trace` as a user would, and waits for what it shows of itself.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    log::{Header, Line, Log},
    sys,
};

/// Names another tracer than the one in the path.
const VARIABLE: &str = "ISOL_TRACE";
/// How long anything of the tracer may take; emulated machines are slow.
const PATIENCE: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_millis(20);

static LOGS: AtomicU32 = AtomicU32::new(0);

/// The tracer's program.
#[must_use]
pub fn program() -> OsString {
    env::var_os(VARIABLE).unwrap_or_else(|| "isol-trace".into())
}

/// A fresh path for a file of this run.
#[must_use]
pub fn fresh_path(extension: &str) -> PathBuf {
    let number = LOGS.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("truth-{}-{number}.{extension}", std::process::id()))
}

/// A tracer that is armed.
#[derive(Debug)]
pub struct Tracer {
    child: Option<Child>,
    log: PathBuf,
    errors: PathBuf,
    header: Header,
}

/// A tracer that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its log.
    pub log: PathBuf,
    errors: PathBuf,
}

impl Tracer {
    /// Starts `isol-trace record -o FILE ARGUMENTS…` and waits until it is armed.
    pub fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Self> {
        let (mut child, log, errors) = spawn(arguments)?;
        match wait_for_header(&mut child, &log) {
            Ok(header) => Ok(Self {
                child: Some(child),
                log,
                errors,
                header,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.context(complaints(&errors)))
            }
        }
    }

    /// The header of its log.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the tracer has ended")?.id())
    }

    /// Where its log grows.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        Ok(sys::kill(self.pid()?, signal)?)
    }

    /// Ends it by a signal and waits for its end.
    pub fn end(mut self, signal: i32) -> Result<Ended> {
        self.signal(signal)?;
        let mut child = self.child.take().context("the tracer has ended")?;
        let status = wait(&mut child).with_context(|| format!("after signal {signal}"))?;
        Ok(Ended {
            status,
            log: self.log.clone(),
            errors: self.errors.clone(),
        })
    }

    /// Ends it as Ctrl-C does and reads its log.
    pub fn finish(self) -> Result<(Log, PathBuf)> {
        self.end(libc::SIGINT)?.read()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ended {
    /// Reads its log, provided that it ended well.
    pub fn read(self) -> Result<(Log, PathBuf)> {
        if !self.status.success() {
            bail!("isol-trace: {}{}", self.status, complaints(&self.errors));
        }
        Ok((Log::read(&self.log)?, self.log))
    }

    /// Its exit status as a shell has it.
    #[must_use]
    pub fn code(&self) -> i32 {
        shell_code(self.status)
    }

    /// What it said on stderr.
    #[must_use]
    pub fn complaints(&self) -> String {
        complaints(&self.errors)
    }
}

/// An exit status as a shell has it: 128 + signal for a killed process.
#[must_use]
pub fn shell_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs `isol-trace record -o FILE ARGUMENTS…` to its own end.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Ended> {
    let (mut child, log, errors) = spawn(arguments)?;
    let status = wait(&mut child).with_context(|| complaints(&errors))?;
    Ok(Ended {
        status,
        log,
        errors,
    })
}

fn spawn<S: AsRef<OsStr>>(arguments: &[S]) -> Result<(Child, PathBuf, PathBuf)> {
    let (log, errors) = (fresh_path("jsonl"), fresh_path("err"));
    let child = Command::new(program())
        .arg("record")
        .arg("-o")
        .arg(&log)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors)?)
        .spawn()
        .with_context(|| format!("{} cannot be run", program().display()))?;
    Ok((child, log, errors))
}

fn complaints(errors: &Path) -> String {
    let text = fs::read_to_string(errors).unwrap_or_default();
    format!(" isol-trace said: {}", text.trim())
}

fn wait_for_header(child: &mut Child, log: &Path) -> Result<Header> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            bail!("isol-trace ended before it was armed: {status}");
        }
        if let Ok(file) = File::open(log) {
            let mut line = String::new();
            BufReader::new(file).read_line(&mut line)?;
            if line.ends_with('\n') {
                return match Line::parse(&line)? {
                    Line::Header(header) => Ok(header),
                    _ => bail!("the first line of the log is no header: {line}"),
                };
            }
        }
        thread::sleep(STEP);
    }
    bail!("isol-trace is not armed after {PATIENCE:?}")
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(STEP);
    }
    let _ = child.kill();
    let _ = child.wait();
    bail!("isol-trace does not end within {PATIENCE:?}")
}
