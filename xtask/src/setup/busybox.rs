//! The guests' shell and tools: Debian's statically linked busybox.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::{
    Setup,
    apt::{self, Apt},
};
use crate::{exec, say::say};

/// The folder of busybox, below the cache.
pub(super) const FOLDER: &str = "busybox";

/// A busybox program, and the commands that it contains.
#[derive(Clone, Debug)]
pub(crate) struct Busybox {
    /// Where the program is.
    pub(crate) program: PathBuf,
    /// The names of its commands (applets).
    pub(crate) applets: Vec<String>,
}

/// Returns the busybox in the cache. Fetches it first if it is not there.
pub(super) fn ensure(setup: &Setup) -> Result<Busybox> {
    if let Ok(busybox) = read(setup) {
        return Ok(busybox);
    }
    let lock = setup.cache.lock()?;
    if let Ok(busybox) = read(setup) {
        return Ok(busybox);
    }
    let machine = apt::machine("busybox-static", "guests cannot be booted here")?;
    let apt = Apt::for_guests(&setup.cache, &lock, &machine)?;
    say("setup: fetching busybox-static for the guests");
    setup.cache.install(&lock, FOLDER, |target| {
        let unpacked = target.join("unpacked");
        apt.unpack(&["busybox-static".to_owned()], &unpacked)?;
        let program = ["bin/busybox", "usr/bin/busybox"]
            .map(|path| unpacked.join(path))
            .into_iter()
            .find(|path| path.is_file())
            .context("the package busybox-static has no busybox")?;
        let applets = exec::output(Command::new(&program).arg("--list"))?;
        fs::rename(program, target.join("busybox"))?;
        fs::write(target.join("applets"), applets)?;
        fs::remove_dir_all(unpacked)?;
        Ok(())
    })?;
    read(setup)
}

/// The busybox in the cache; an error if it is not there.
fn read(setup: &Setup) -> Result<Busybox> {
    let folder = setup.cache.path(FOLDER);
    let program = folder.join("busybox");
    fs::metadata(&program).with_context(|| format!("no {}", program.display()))?;
    let applets = fs::read_to_string(folder.join("applets"))?
        .lines()
        .map(str::to_owned)
        .collect();
    Ok(Busybox { program, applets })
}
