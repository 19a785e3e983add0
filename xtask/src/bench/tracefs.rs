//! An ftrace instance of our own, and tracefs where nobody has mounted it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::exec;

/// Where distributions mount it.
const USUAL: &str = "/sys/kernel/tracing";

/// tracefs; unmounted again at the end if it was mounted here.
#[derive(Debug)]
pub(super) struct Tracefs {
    mounted: bool,
}

impl Tracefs {
    /// Mounts it if need be: the peers look for it at its usual place.
    pub(super) fn open() -> Result<Self> {
        if Path::new(USUAL).join("events").is_dir() {
            return Ok(Self { mounted: false });
        }
        exec::output(Command::new("mount").args(["-t", "tracefs", "tracefs", USUAL]))
            .context("tracefs is not mounted and cannot be")?;
        Ok(Self { mounted: true })
    }

    /// Where it is.
    pub(super) fn path() -> PathBuf {
        USUAL.into()
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.mounted {
            // Left mounted it harms nobody.
            let _ = exec::output(Command::new("umount").arg(USUAL));
        }
    }
}

/// Buffers and events of our own.
#[derive(Debug)]
pub(super) struct Instance {
    folder: PathBuf,
}

impl Instance {
    /// Makes one.
    pub(super) fn make(tracefs: &Path) -> Result<Self> {
        let folder = tracefs.join("instances/isol-trace-bench");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the ftrace instance {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Writes to one of its files.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write to {}", path.display()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // An instance that stays behind is found and used by the next run.
        let _ = self.write("events/enable", "0");
        let _ = fs::remove_dir(&self.folder);
    }
}
