//! The contenders of the benchmark: what is attached while system calls are timed. That is nothing,
//! isol-trace, or one of the peers, which are the tools that come nearest to it.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    recorder::{Options, Recorder},
    tracefs::Instance,
};
use crate::exec;

/// How long a peer may take to end after it was asked to. Then it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Size of isol-trace's ring while single calls are timed. It is large, so that records fit even if the
/// machine is busy and the reader has to wait: a record that is lost costs less than one that is written.
const RING_SIZE: &str = "16M";

/// What a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Nothing attached.
    Nothing,
    /// `isol-trace record`.
    Ours,
    /// bpftrace, which counts `sys_enter` and `sys_exit` on the watched CPU.
    Bpftrace,
    /// ftrace, with its events `sys_enter` and `sys_exit` on.
    Ftrace,
    /// `perf record -a`.
    Perf,
}

impl Contender {
    /// All contenders, in the order of the table.
    pub(super) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Ours,
        Self::Ftrace,
        Self::Bpftrace,
        Self::Perf,
    ];

    /// The row's name.
    pub(super) fn name(self, watched: u32) -> String {
        match self {
            Self::Nothing => "nothing attached".to_owned(),
            Self::Ours => format!("`isol-trace record --cpus {watched}`"),
            Self::Ftrace => "ftrace, `raw_syscalls` `sys_enter` and `sys_exit` on".to_owned(),
            Self::Bpftrace => {
                format!("bpftrace, `sys_enter` and `sys_exit` counted where `cpu == {watched}`")
            }
            Self::Perf => "`perf record -a -e raw_syscalls:*`".to_owned(),
        }
    }

    /// Attaches this contender. An error says why its row stays empty.
    pub(super) fn start(self, setting: &Setting) -> Result<Attached> {
        Ok(match self {
            Self::Nothing => Attached::Nothing,
            Self::Ours => Attached::Ours(Recorder::start(
                &setting.isol_trace,
                setting.watched,
                &Options {
                    ring: Some(RING_SIZE),
                    ..Options::default()
                },
            )?),
            Self::Ftrace => Attached::Ftrace {
                _attached: ftrace(setting)?,
            },
            Self::Bpftrace => Attached::Peer {
                _attached: bpftrace(setting)?,
            },
            Self::Perf => Attached::Peer {
                _attached: perf(setting)?,
            },
        })
    }
}

/// What contenders need to know of this machine.
#[derive(Debug)]
pub(super) struct Setting {
    /// Our binary.
    pub(super) isol_trace: PathBuf,
    /// Where tracefs is mounted.
    pub(super) tracefs: PathBuf,
    /// The CPU under watch.
    pub(super) watched: u32,
}

/// A contender that is attached. Dropping it detaches it.
#[derive(Debug)]
pub(super) enum Attached {
    /// Nothing is attached.
    Nothing,
    /// isol-trace is attached.
    Ours(Recorder),
    /// ftrace's events are on, in an instance of our own.
    Ftrace { _attached: Instance },
    /// Another program is attached.
    Peer { _attached: Peer },
}

impl Attached {
    /// Detaches the contender. For isol-trace, returns how many records were lost.
    pub(super) fn stop(self) -> Result<Option<u64>> {
        match self {
            Self::Ours(recorder) => Ok(Some(recorder.stop()?.lost)),
            Self::Nothing | Self::Ftrace { .. } | Self::Peer { .. } => Ok(None),
        }
    }
}

fn ftrace(setting: &Setting) -> Result<Instance> {
    let instance = Instance::make(&setting.tracefs)?;
    for event in ["sys_enter", "sys_exit"] {
        instance.write(&format!("events/raw_syscalls/{event}/enable"), "1")?;
    }
    Ok(instance)
}

fn bpftrace(setting: &Setting) -> Result<Peer> {
    require("bpftrace", "bpftrace")?;
    let script = format!(
        "BEGIN {{ printf(\"ready\\n\"); }} \
         tracepoint:raw_syscalls:sys_enter /cpu == {0}/ {{ @enter = count(); }} \
         tracepoint:raw_syscalls:sys_exit /cpu == {0}/ {{ @exit = count(); }}",
        setting.watched
    );
    let mut command = Command::new("bpftrace");
    command.args(["-e", &script]).stdout(Stdio::piped());
    let mut peer = Peer::start(command)?;
    peer.wait_for("ready")?;
    // bpftrace attaches the probes of the tracepoints after `BEGIN` has run.
    peer.settle();
    Ok(peer)
}

fn perf(_setting: &Setting) -> Result<Peer> {
    require("perf", "linux-perf")?;
    let mut command = Command::new("perf");
    command
        .args([
            "record",
            "-q",
            "-a",
            "-e",
            "raw_syscalls:*",
            "-o",
            "/dev/null",
        ])
        .stdout(Stdio::null());
    let mut peer = Peer::start(command)?;
    peer.settle();
    if let Some(status) = peer.child.try_wait()? {
        bail!("perf ended at once ({status})");
    }
    Ok(peer)
}

/// Fails if a peer is not installed; the error says how to install it.
fn require(program: &str, package: &str) -> Result<()> {
    if exec::is_installed(program) {
        return Ok(());
    }
    bail!("not installed: `apt install {package}`")
}

/// A peer's process.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
}

impl Peer {
    fn start(mut command: Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Reads its output until it prints the line `wanted`.
    fn wait_for(&mut self, wanted: &str) -> Result<()> {
        let stdout = self.child.stdout.take().context("no output to read")?;
        let mut lines = BufReader::new(stdout).lines();
        for line in lines.by_ref() {
            if line? == wanted {
                // What it prints later must not fill the pipe.
                thread::spawn(move || lines.for_each(drop));
                return Ok(());
            }
        }
        bail!("it ended without attaching (a kernel without what it needs?)")
    }

    /// Gives it the time to attach.
    #[expect(
        clippy::unused_self,
        reason = "only a peer that was started needs the time"
    )]
    fn settle(&self) {
        thread::sleep(Duration::from_millis(1500));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        super::interrupt(&self.child);
        // A peer that does not end when asked is killed.
        let asked = Instant::now();
        while asked.elapsed() < END_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer's version, for the table.
pub(super) fn version(program: &str) -> Option<String> {
    let said = exec::output(Command::new(program).arg("--version")).ok()?;
    said.lines().next().map(str::to_owned)
}
