//! Where the log goes: known to be writable before anything is attached, and not touched
//! until there is something to write.
//!
//! A log has other users' arguments and the kernel's addresses in it, and whoever records is root: so a file is
//! always a new one of mode 0600, and no link is followed that somebody may have left under its name.

mod kept;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

pub use kept::{Changed, Kept};

/// Where a log goes.
#[derive(Debug)]
pub enum Output {
    /// Nowhere: it is only listened to.
    Nowhere,
    /// To stdout.
    Stdout,
    /// To stdout, which is a terminal, as lines for people.
    People,
    /// To a file.
    File(OutputFile),
}

/// A file for a log. Dropped before [`OutputFile::begin`], it leaves things as they were: a
/// file that it created is removed, one that was there is unchanged.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// A new file.
    New {
        file: File,
        /// Its name until it is begun: the one that was typed or, where that is taken, one beside it.
        name: PathBuf,
    },
    /// A pipe with a name, which is opened once somebody reads it.
    Fifo,
    /// A device, or a pipe by its descriptor.
    Device(File),
    /// It has been begun.
    Begun,
}

/// A log that has been begun.
#[derive(Debug)]
pub struct Begun {
    /// Where it is written.
    pub file: File,
    /// What tells whether it is still there; `None` where it is no file of a file system.
    pub kept: Option<Kept>,
}

/// Why a log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file cannot be opened.
    #[error("cannot write the log to '{path}': {source}", path = path.display())]
    Open {
        /// As typed.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is a file already.
    #[error(
        "cannot write the log to '{path}': this file is there already; name another one, or replace it with --force",
        path = .0.display()
    )]
    Exists(PathBuf),
    /// A symbolic link, which somebody else may have made.
    #[error(
        "cannot write the log to '{path}': it is a symbolic link, and none is followed; name the file itself, or replace the link with --force",
        path = .0.display()
    )]
    Link(PathBuf),
    /// A link of `/dev` or `/proc` that leads to a file.
    #[error(
        "cannot write the log to '{path}': it leads to a file; name that file, or write to stdout with -o -",
        path = .0.display()
    )]
    Descriptor(PathBuf),
    /// Somebody else writes a log there.
    #[error(
        "cannot write the log to '{path}': another isol-trace is writing to it; name another file",
        path = .0.display()
    )]
    InUse(PathBuf),
}

impl Output {
    /// Opens what was typed after `-o`; `-` is stdout. `replace` allows that the file is there.
    pub fn open(path: PathBuf, replace: bool) -> Result<Self, OutputError> {
        if is_stdout(&path) {
            return Ok(Self::Stdout);
        }
        OutputFile::open(path, replace).map(Self::File)
    }

    /// Where the log goes that nobody has named: to stdout, in lines for people where that is a terminal.
    #[must_use]
    pub const fn unnamed(stdout_is_terminal: bool) -> Self {
        if stdout_is_terminal {
            Self::People
        } else {
            Self::Stdout
        }
    }
}

/// Whether what was typed after `-o` stands for stdout.
#[must_use]
pub fn is_stdout(path: &Path) -> bool {
    // Opening these anew would write from the beginning of a file that stdout appends to.
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path.as_os_str() == *name)
}

impl OutputFile {
    /// Makes the file that the log goes to, or opens the device or pipe.
    pub fn open(path: PathBuf, replace: bool) -> Result<Self, OutputError> {
        let target = target(&path, replace)?;
        Ok(Self { path, target })
    }

    /// The file's name, as typed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is known where to write: a pipe is once somebody reads it.
    pub fn is_ready(&mut self) -> Result<bool, OutputError> {
        if !matches!(self.target, Target::Fifo) {
            return Ok(true);
        }
        // Without O_NONBLOCK opening would wait for the reader (fifo(7)).
        let opened = open_special(&self.path, libc::O_NONBLOCK | libc::O_NOFOLLOW);
        match opened {
            Ok(file) => self.target = Target::Device(file),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(false),
            Err(source) => return Err(self.error(source)),
        }
        Ok(true)
    }

    /// Hands the file out, under the name that was typed: from here on it is kept, whatever happens.
    pub fn begin(mut self) -> Result<Begun, OutputError> {
        let begun = match &self.target {
            Target::New { file, name } => begin_new(file, name, &self.path),
            Target::Device(file) => file.try_clone().map(|file| Begun { file, kept: None }),
            Target::Fifo | Target::Begun => Err(io::Error::from_raw_os_error(libc::ENXIO)),
        };
        match begun {
            Ok(begun) => {
                self.target = Target::Begun;
                Ok(begun)
            }
            Err(source) => Err(self.error(source)),
        }
    }

    fn error(&self, source: io::Error) -> OutputError {
        OutputError::Open {
            path: self.path.clone(),
            source,
        }
    }
}

/// Gives a new file its name.
fn begin_new(file: &File, name: &Path, path: &Path) -> io::Result<Begun> {
    let begun = file.try_clone()?;
    let kept = Kept::new(file.try_clone()?, path.to_owned());
    if name != path {
        // Takes the place of whatever is there, be it a link: neither that nor other names of the old file
        // are followed (rename(2)).
        fs::rename(name, path)?;
    }
    Ok(Begun {
        file: begun,
        kept: Some(kept),
    })
}

/// Finds out what is under a name.
fn target(path: &Path, replace: bool) -> Result<Target, OutputError> {
    let failed = |source| OutputError::Open {
        path: path.to_owned(),
        source,
    };
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return create(path).map_err(|error| match error.kind() {
                // Since then.
                io::ErrorKind::AlreadyExists => OutputError::Exists(path.to_owned()),
                _ => failed(error),
            });
        }
        Err(source) => return Err(failed(source)),
    };
    let kind = metadata.file_type();
    if kind.is_symlink() && is_the_systems(path) {
        return match path.metadata() {
            Ok(metadata) if metadata.is_file() => Err(OutputError::Descriptor(path.to_owned())),
            Ok(_) => open_special(path, 0).map(Target::Device).map_err(failed),
            Err(source) => Err(failed(source)),
        };
    }
    if kind.is_dir() {
        return Err(failed(io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if kind.is_fifo() {
        return Ok(Target::Fifo);
    }
    if !kind.is_file() && !kind.is_symlink() {
        let opened = open_special(path, libc::O_NOFOLLOW);
        return opened.map(Target::Device).map_err(failed);
    }
    match (replace, kind.is_symlink()) {
        (false, true) => return Err(OutputError::Link(path.to_owned())),
        (false, false) => return Err(OutputError::Exists(path.to_owned())),
        (true, true) => {}
        (true, false) => require_unused(path)?,
    }
    create(&beside(path)).map_err(failed)
}

/// Whether a link is one of the system's own, as those of `/dev/fd`, which nobody else can have left there.
fn is_the_systems(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    folder.is_some_and(|folder| {
        (folder.starts_with("/dev") && !folder.starts_with("/dev/shm"))
            || folder.starts_with("/proc")
    })
}

/// Makes a new file, locked.
fn create(name: &Path) -> io::Result<Target> {
    // Each write goes to the end, wherever that is: where somebody cuts the file, it stays shorter than what was written,
    // and that shows (`Kept`). Written where the last write ended, it would have a hole instead.
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(name)?;
    let target = Target::New {
        file,
        name: name.to_owned(),
    };
    if let Target::New { file, .. } = &target {
        // Nobody else has it yet; a file system without locks has to do without.
        let _ = file.try_lock();
    }
    Ok(target)
}

/// A name in the same folder, under which nothing is expected.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".isol-trace-{}", std::process::id()));
    path.with_file_name(name)
}

/// Opens what is no file of a file system.
fn open_special(path: &Path, flags: i32) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY | flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        // It was none a moment ago.
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(file)
}

/// Checks that nobody is writing a log into a file.
fn require_unused(path: &Path) -> Result<(), OutputError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    // One that cannot be opened is replaced without a look at it.
    match opened.map(|file| file.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => Err(OutputError::InUse(path.to_owned())),
        _ => Ok(()),
    }
}

/// Whether a name still stands for an open file.
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.symlink_metadata() {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Target::New { file, name } = &self.target
            // Only if the name still stands for what was created under it.
            && is_named(file, name).unwrap_or(false)
        {
            // Nobody is left who could be told that this failed.
            let _ = fs::remove_file(name);
        }
    }
}

#[cfg(test)]
mod tests;
