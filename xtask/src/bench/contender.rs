//! What is attached while system calls are timed: nothing, us, and the peers that come nearest.

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

/// How long a peer may take to attach.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ring of the tracer while single calls are timed: a record that finds no room is cheaper than
/// one that does, and a busy machine leaves a reader waiting.
const ROOM: &str = "16M";

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Nothing attached.
    Nothing,
    /// `isol-trace record`.
    Ours,
    /// bpftrace, counting both events of the watched CPU.
    Bpftrace,
    /// ftrace's own two events.
    Ftrace,
    /// `perf record -a`.
    Perf,
}

impl Contender {
    /// All, in the order of the table.
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

    /// Attaches it. An error says why this row stays empty.
    pub(super) fn start(self, place: &Place) -> Result<Running> {
        Ok(match self {
            Self::Nothing => Running::Nothing,
            Self::Ours => Running::Ours(Recorder::start(
                &place.isol_trace,
                place.watched,
                &Options {
                    ring: Some(ROOM),
                    ..Options::default()
                },
            )?),
            Self::Ftrace => Running::Ftrace {
                _on: ftrace(place)?,
            },
            Self::Bpftrace => Running::Peer {
                _on: bpftrace(place)?,
            },
            Self::Perf => Running::Peer { _on: perf(place)? },
        })
    }
}

/// Where contenders run.
#[derive(Debug)]
pub(super) struct Place {
    /// Our binary.
    pub(super) isol_trace: PathBuf,
    /// Where tracefs is mounted.
    pub(super) tracefs: PathBuf,
    /// The CPU under watch.
    pub(super) watched: u32,
}

/// Something attached; dropped, it is gone.
#[derive(Debug)]
pub(super) enum Running {
    /// Nothing is.
    Nothing,
    /// We are.
    Ours(Recorder),
    /// Events are on in an instance of their own.
    Ftrace { _on: Instance },
    /// Another program is.
    Peer { _on: Peer },
}

impl Running {
    /// Takes it off; ours says how many records were lost.
    pub(super) fn stop(self) -> Result<Option<u64>> {
        match self {
            Self::Ours(recorder) => Ok(Some(recorder.stop()?.lost)),
            Self::Nothing | Self::Ftrace { .. } | Self::Peer { .. } => Ok(None),
        }
    }
}

fn ftrace(place: &Place) -> Result<Instance> {
    let instance = Instance::make(&place.tracefs)?;
    for event in ["sys_enter", "sys_exit"] {
        instance.write(&format!("events/raw_syscalls/{event}/enable"), "1")?;
    }
    Ok(instance)
}

fn bpftrace(place: &Place) -> Result<Peer> {
    require("bpftrace", "bpftrace")?;
    let script = format!(
        "BEGIN {{ printf(\"ready\\n\"); }} \
         tracepoint:raw_syscalls:sys_enter /cpu == {0}/ {{ @enter = count(); }} \
         tracepoint:raw_syscalls:sys_exit /cpu == {0}/ {{ @exit = count(); }}",
        place.watched
    );
    let mut command = Command::new("bpftrace");
    command.args(["-e", &script]).stdout(Stdio::piped());
    let mut peer = Peer::start(command)?;
    peer.wait_for("ready")?;
    // Its own probes are attached after `BEGIN` has run.
    peer.settle();
    Ok(peer)
}

fn perf(_place: &Place) -> Result<Peer> {
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

/// Whether a peer is installed; if not, how to get it.
fn require(program: &str, package: &str) -> Result<()> {
    if exec::is_installed(program) {
        return Ok(());
    }
    bail!("not installed: `apt install {package}`")
}

/// Another program under way.
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

    /// Reads its output up to a line.
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
    #[expect(clippy::unused_self, reason = "there has to be one")]
    fn settle(&self) {
        thread::sleep(Duration::from_millis(1500));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        super::interrupt(&self.child);
        // What does not end when asked is killed.
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
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
