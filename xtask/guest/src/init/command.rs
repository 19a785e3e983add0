//! The plan's command: its streams to their ports, its status to the host.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Pid, WaitOptions, WaitStatus, ioctl_tiocsctty, setsid, wait},
    stdio,
    termios::{Winsize, tcsetwinsize},
};

use super::channel::Channel;
use crate::boot::{Plan, RESULTS, RESULTS_VARIABLE, Report, TerminalSize};

/// The terminal of a person's: the second serial port.
const TERMINAL: &str = "/dev/ttyS1";

/// Status of a command that could not be started, as a shell gives it.
const NOT_STARTED: u8 = 127;

/// How long a stream may stay open once the command has ended: something it left behind holds it.
const LINGER: Duration = Duration::from_secs(1);

/// Ends the relay of result lines: init writes it last.
const END_OF_RESULTS: &str = "end of results";

/// Runs the command to its end, relaying its streams.
pub(super) fn run(plan: &Plan, channel: &Channel) -> Result<Report> {
    let results = Results::relay(channel)?;
    let (status, stdout, stderr) = match plan.terminal {
        Some(size) => (on_terminal(plan, size, channel)?, 0, 0),
        None => on_ports(plan, channel)?,
    };
    results.finish()?;
    Ok(Report::Exit {
        exit: status,
        stdout,
        stderr,
    })
}

/// The command with the plan's environment.
fn command(plan: &Plan) -> Result<Command> {
    let (program, arguments) = plan
        .command
        .split_first()
        .context("the plan has no command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/bin")
        .env("HOME", "/root")
        .env(RESULTS_VARIABLE, RESULTS)
        .envs(plan.environment.iter().cloned())
        .current_dir("/root");
    Ok(command)
}

/// Runs the command with its output on the ports: status, bytes of output, bytes of error.
fn on_ports(plan: &Plan, channel: &Channel) -> Result<(u8, u64, u64)> {
    let started = command(plan)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let said = format!("cannot start {}: {error}\n", plan.command.join(" "));
            (&*channel.stderr()).write_all(said.as_bytes())?;
            return Ok((NOT_STARTED, 0, said.len() as u64));
        }
    };
    let stdout = Relay::start(child.stdout.take(), channel.stdout());
    let stderr = Relay::start(child.stderr.take(), channel.stderr());
    let status = reap(&child)?;
    Ok((status, stdout.finish(), stderr.finish()))
}

/// Runs the command on a terminal of its own.
fn on_terminal(plan: &Plan, size: TerminalSize, channel: &Channel) -> Result<u8> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .with_context(|| format!("cannot open {TERMINAL}"))?;
    tcsetwinsize(
        &terminal,
        Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?;
    let mut command = command(plan)?;
    command
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal);
    // SAFETY: between fork and exec the closure only makes two system calls; it allocates nothing
    // and takes no lock.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            ioctl_tiocsctty(stdio::stdin())?;
            Ok(())
        });
    }
    match command.spawn() {
        Ok(child) => reap(&child),
        Err(error) => {
            let said = format!("cannot start {}: {error}\n", plan.command.join(" "));
            (&*channel.stderr()).write_all(said.as_bytes())?;
            Ok(NOT_STARTED)
        }
    }
}

/// Waits for the command, and meanwhile for whatever loses its parent: it becomes init's.
fn reap(command: &Child) -> Result<u8> {
    let command = Pid::from_child(command);
    loop {
        if let Some((ended, status)) = wait(WaitOptions::empty())?
            && ended == command
        {
            return Ok(shell_status(status));
        }
    }
}

/// The status as a shell gives it.
fn shell_status(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// Copies one stream to its port.
struct Relay {
    bytes: mpsc::Receiver<u64>,
}

impl Relay {
    fn start(stream: Option<impl Read + Send + 'static>, port: Arc<File>) -> Self {
        let (sender, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            let Some(mut stream) = stream else { return };
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                // A receiver or host that is gone ends the relay.
                if (&*port).write_all(&buffer[..count]).is_err()
                    || sender.send(count as u64).is_err()
                {
                    return;
                }
            }
        });
        Self { bytes }
    }

    /// Bytes relayed in all, once the stream has ended or lingers.
    fn finish(self) -> u64 {
        let mut total = 0;
        while let Ok(count) = self.bytes.recv_timeout(LINGER) {
            total += count;
        }
        total
    }
}

/// Passes the lines that programs write to the FIFO on to the port.
struct Results {
    fifo: File,
    ended: mpsc::Receiver<()>,
}

impl Results {
    fn relay(channel: &Channel) -> Result<Self> {
        // Open both ways: the FIFO then never ends, however many writers come and go.
        let fifo = OpenOptions::new().read(true).write(true).open(RESULTS)?;
        let lines = BufReader::new(fifo.try_clone()?);
        let (sender, ended) = mpsc::channel();
        let channel = channel.clone();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line == END_OF_RESULTS || channel.send(format!("{line}\n").as_bytes()).is_err() {
                    break;
                }
            }
            // The command's run may be over already.
            let _ = sender.send(());
        });
        Ok(Self { fifo, ended })
    }

    /// Waits until every line written so far has gone out.
    fn finish(mut self) -> Result<()> {
        self.fifo
            .write_all(format!("{END_OF_RESULTS}\n").as_bytes())?;
        self.ended
            .recv()
            .context("the relay of result lines ended early")
    }
}
