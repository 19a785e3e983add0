//! `isol-trace record` under way: when it is armed, what it uses, and what its log says at the end.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{SpliceFlags, splice},
};
use serde_json::Value;

/// How long attaching may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is taken of the log at once, and kept of its end: the summary is its last line.
const CHUNK: usize = 256 * 1024;

/// How often the log's thread looks whether the end has come.
const GLANCE: Duration = Duration::from_millis(20);

/// How to record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Have the kernel measure the programs.
    pub(super) bpf_stats: bool,
    /// Bytes of the ring, as the option takes them; the tracer's own size by default.
    pub(super) ring: Option<&'static str>,
    /// Watch only threads of this name.
    pub(super) comm: Option<&'static str>,
}

/// A recorder under way, its log drained.
#[derive(Debug)]
pub(super) struct Recorder {
    child: Child,
    log: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// From here on the log is read rather than thrown away.
    ending: Arc<AtomicBool>,
}

/// What a log says in its last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Kernel entries.
    pub(super) entries: u64,
    /// Records that did not fit the ring.
    pub(super) lost: u64,
    /// Entries without a cause.
    pub(super) unattributed: u64,
    /// Per program its name, runs and nanoseconds in all, if they were measured.
    pub(super) programs: Vec<(String, u64, u64)>,
}

impl Recorder {
    /// Starts it and waits until it is armed.
    pub(super) fn start(binary: &Path, cpu: u32, options: &Options) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("record").arg("--cpus").arg(cpu.to_string());
        if options.bpf_stats {
            command.arg("--bpf-stats");
        }
        if let Some(ring) = options.ring {
            command.arg("--ring-size").arg(ring);
        }
        if let Some(comm) = options.comm {
            command.arg("--comm").arg(comm);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("no log to read")?;
        let ending = Arc::new(AtomicBool::new(false));
        let (armed, log) = follow(stdout, Arc::clone(&ending));
        let mut recorder = Self {
            child,
            log: Some(log),
            ending,
        };
        if armed.recv_timeout(PATIENCE).is_err() {
            let status = recorder.child.try_wait()?;
            bail!("isol-trace record did not begin its log (status {status:?})");
        }
        Ok(recorder)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and reads the last line of its log.
    pub(super) fn stop(mut self) -> Result<Account> {
        self.ending.store(true, Ordering::Relaxed);
        // Whatever is being thrown away now was written before the summary.
        std::thread::sleep(2 * GLANCE);
        super::interrupt(&self.child);
        let status = self.child.wait()?;
        if !status.success() {
            bail!("isol-trace record failed ({status})");
        }
        let log = self.log.take().context("the log has been read before")?;
        let tail = log
            .join()
            .map_err(|_panic| anyhow::anyhow!("the reader of the log failed"))??;
        account(&tail)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            super::interrupt(&self.child);
            let _ = self.child.wait();
        }
    }
}

/// Takes the log to its end on a thread: something comes with its first bytes, and the tail at the end.
///
/// In between its pages go to `/dev/null` uncopied: reading them would take time from the tracer's
/// own reader, on a machine with few CPUs half of it.
fn follow(
    mut stdout: ChildStdout,
    ending: Arc<AtomicBool>,
) -> (Receiver<()>, JoinHandle<io::Result<Vec<u8>>>) {
    let (begun, armed) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let nowhere = File::options().write(true).open("/dev/null")?;
        let mut buffer = vec![0; CHUNK];
        if stdout.read(&mut buffer)? > 0 {
            // Nobody waits any more if it took too long.
            let _ = begun.send(());
        }
        while !ending.load(Ordering::Relaxed) {
            let mut watched = [PollFd::new(&stdout, PollFlags::IN)];
            let glance = Timespec::try_from(GLANCE).map_err(io::Error::other)?;
            if poll(&mut watched, Some(&glance))? > 0 {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                if splice(&stdout, None, &nowhere, None, CHUNK, flags)? == 0 {
                    return Ok(Vec::new());
                }
            }
        }
        let mut tail = Vec::with_capacity(3 * CHUNK);
        while let count @ 1.. = stdout.read(&mut buffer)? {
            tail.extend_from_slice(&buffer[..count]);
            if tail.len() > 2 * CHUNK {
                tail.drain(..tail.len() - CHUNK);
            }
        }
        Ok(tail)
    });
    (armed, thread)
}

/// The summary in the last line.
fn account(tail: &[u8]) -> Result<Account> {
    let text = String::from_utf8_lossy(tail);
    let line = text.trim_end().lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(line).context("the log ends without a summary")?;
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let list = |value: &Value, name: &str| {
        let list = value.get(name).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let cpus = list(&summary, "cpus");
    let sum = |name: &str| cpus.iter().map(|cpu| number(cpu, name)).sum();
    let tracer = summary.get("tracer").cloned().unwrap_or_default();
    let programs = list(&tracer, "programs");
    Ok(Account {
        entries: sum("entries"),
        lost: sum("lost"),
        unattributed: sum("unattributed"),
        programs: programs
            .iter()
            .filter_map(|program| {
                let name = program.get("name")?.as_str()?.to_owned();
                Some((name, number(program, "runs"), number(program, "run_ns")))
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_the_last_line() {
        let log = br#"{"type":"breach"}
{"type":"summary","cpus":[{"entries":3,"lost":1,"unattributed":0},{"entries":2,"lost":0}],"tracer":{"programs":[{"name":"sys_enter","runs":2,"run_ns":90}]}}
"#;
        let account = account(log).unwrap();
        assert_eq!((account.entries, account.lost), (5, 1));
        assert_eq!(account.programs, [("sys_enter".to_owned(), 2, 90)]);
    }

    #[test]
    fn a_log_without_a_summary_is_an_error() {
        assert!(account(b"{\"type\":\"breach\"}\n{\"type\":").is_err());
        assert!(account(b"").is_err());
    }
}
