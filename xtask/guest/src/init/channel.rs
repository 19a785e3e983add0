//! The three virtio-serial ports to the host.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, mkfifoat},
};

use crate::boot::{GOODBYE, RESULTS, RESULTS_PORT, Report, STDERR_PORT, STDOUT_PORT};

/// How long a port may take to appear once its driver is there.
const APPEARANCE: Duration = Duration::from_secs(10);

/// How long the host may take to say goodbye; then the guest powers off by itself.
const FAREWELL: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// The open ports.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    results: Arc<Mutex<File>>,
    stdout: Arc<File>,
    stderr: Arc<File>,
}

impl Channel {
    /// Opens the ports and makes the FIFO through which programs reach the results.
    pub(super) fn open() -> Result<Self> {
        let channel = Self {
            results: Arc::new(Mutex::new(open_port(RESULTS_PORT)?)),
            stdout: Arc::new(open_port(STDOUT_PORT)?),
            stderr: Arc::new(open_port(STDERR_PORT)?),
        };
        let fifo = Path::new(RESULTS);
        if let Some(folder) = fifo.parent() {
            fs::create_dir_all(folder)?;
        }
        mkfifoat(CWD, fifo, Mode::RUSR | Mode::WUSR)?;
        Ok(channel)
    }

    /// The port of the command's standard output.
    pub(super) fn stdout(&self) -> Arc<File> {
        Arc::clone(&self.stdout)
    }

    /// The port of the command's standard error.
    pub(super) fn stderr(&self) -> Arc<File> {
        Arc::clone(&self.stderr)
    }

    /// Sends a line of init's own.
    pub(super) fn report(&self, report: Report) -> Result<()> {
        let mut line = serde_json::to_vec(&report)?;
        line.push(b'\n');
        self.send(&line)
    }

    /// Sends whole lines to the results port.
    pub(super) fn send(&self, lines: &[u8]) -> Result<()> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results
            .write_all(lines)
            .context("the results port is closed")
    }

    /// Waits until the host has read everything, or is gone.
    pub(super) fn wait_for_goodbye(&self) -> Result<()> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let mut polled = [PollFd::new(&*results, PollFlags::IN)];
        if poll(&mut polled, Some(&FAREWELL))? > 0 {
            let mut word = [0; GOODBYE.len()];
            // Whatever it is, the host has answered.
            let _ = results.read(&mut word)?;
        }
        Ok(())
    }
}

/// Opens the port of that name, waiting for it to appear.
fn open_port(name: &str) -> Result<File> {
    let give_up = Instant::now() + APPEARANCE;
    loop {
        if let Some(device) = find_port(name) {
            return OpenOptions::new()
                .read(true)
                .write(true)
                .open(&device)
                .with_context(|| format!("cannot open {} ({name})", device.display()));
        }
        if Instant::now() > give_up {
            anyhow::bail!(
                "no virtio-serial port {name}: the guest's kernel needs CONFIG_VIRTIO_PCI and \
                 CONFIG_VIRTIO_CONSOLE built in"
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The device of the port of that name.
fn find_port(name: &str) -> Option<PathBuf> {
    fs::read_dir("/sys/class/virtio-ports")
        .ok()?
        .filter_map(Result::ok)
        .find(|port| {
            fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim() == name)
        })
        .map(|port| Path::new("/dev").join(port.file_name()))
        .filter(|device| device.exists())
}
