//! Whether a log is still what was written.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::is_named;

/// What tells whether a log is still there. While it lives, the file is locked.
#[derive(Debug)]
pub struct Kept {
    file: File,
    path: PathBuf,
}

/// What somebody else did to a log.
#[derive(Debug, thiserror::Error)]
pub enum Changed {
    /// It has no name any more.
    #[error("somebody deleted it while it was written")]
    Deleted,
    /// It has another name.
    #[error("somebody moved it, or put another file in its place, while it was written")]
    Moved,
    /// It is shorter than what was written.
    #[error("somebody cut it short while it was written: {length} bytes are left of {written}")]
    Cut {
        /// Its length.
        length: u64,
        /// What it should be.
        written: u64,
    },
    /// It is longer than what was written.
    #[error("somebody else wrote into it: it has {length} bytes, and {written} were written")]
    Grown {
        /// Its length.
        length: u64,
        /// What it should be.
        written: u64,
    },
    /// It cannot be looked at.
    #[error("it cannot be checked: {0}")]
    Unknown(#[from] io::Error),
}

impl Kept {
    pub(super) const fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    /// Whether it is still worth writing to. `written` bytes have gone out by now, or more.
    pub fn look(&self, written: u64) -> Result<(), Changed> {
        self.metadata(written).map(drop)
    }

    /// Whether it is what was written, after the last of `written` bytes; and has its name brought to the disk.
    pub fn check(&self, written: u64) -> Result<(), Changed> {
        let length = self.metadata(written)?.len();
        if length > written {
            return Err(Changed::Grown { length, written });
        }
        if !is_named(&self.file, &self.path)? {
            return Err(Changed::Moved);
        }
        // The name of a new file is an entry of its folder (fsync(2)). Not every file system can do that.
        if let Some(folder) = self.path.parent() {
            let is_here = folder.as_os_str().is_empty();
            let folder = if is_here { Path::new(".") } else { folder };
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    fn metadata(&self, written: u64) -> Result<Metadata, Changed> {
        let metadata = self.file.metadata()?;
        let length = metadata.len();
        if metadata.nlink() == 0 {
            return Err(Changed::Deleted);
        }
        if length < written {
            return Err(Changed::Cut { length, written });
        }
        Ok(metadata)
    }
}
