//! Where the log goes: known to be writable before anything is attached, and not touched
//! until there is something to write.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where a log goes.
#[derive(Debug)]
pub enum Output {
    /// Nowhere: it is only listened to.
    Nowhere,
    /// To stdout.
    Stdout,
    /// To a file.
    File(OutputFile),
}

/// A file for a log. Dropped before [`OutputFile::begin`], it leaves things as they were: a
/// file that it created is removed, one that was there is unchanged.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: File,
    /// What to remove if nothing is ever written.
    created: Option<PathBuf>,
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
}

impl Output {
    /// Opens what was typed after `-o`; `-` is stdout.
    pub fn open(path: PathBuf) -> Result<Self, OutputError> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        OutputFile::open(path).map(Self::File)
    }
}

impl OutputFile {
    /// Opens a file for writing, creating it where it is not there.
    pub fn open(path: PathBuf) -> Result<Self, OutputError> {
        match open(&path) {
            Ok((file, created)) => Ok(Self {
                path,
                file,
                created,
            }),
            Err(source) => Err(OutputError::Open { path, source }),
        }
    }

    /// The file's name, as typed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Empties the file and hands it out: from here on it is kept, whatever happens.
    pub fn begin(mut self) -> Result<File, OutputError> {
        let begun = self.file.metadata().and_then(|metadata| {
            // A pipe or a device has no length to cut.
            if metadata.is_file() {
                self.file.set_len(0)?;
            }
            self.file.try_clone()
        });
        match begun {
            Ok(file) => {
                self.created = None;
                Ok(file)
            }
            Err(source) => Err(OutputError::Open {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

/// Opens a file for writing, and says which file had to be created for that.
fn open(path: &Path) -> io::Result<(File, Option<PathBuf>)> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => return Ok((file, Some(path.to_owned()))),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    match OpenOptions::new().write(true).open(path) {
        // A link to a file that is not there yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            Ok((file, path.canonicalize().ok()))
        }
        result => result.map(|file| (file, None)),
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        let Some(path) = self.created.take() else {
            return;
        };
        // Only if the name still stands for what was created under it.
        let same = self.file.metadata().and_then(|ours| {
            let theirs = path.symlink_metadata()?;
            Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
        });
        if same.unwrap_or(false) {
            // Nobody is left who could be told that this failed.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_new_file_is_kept_only_once_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        drop(OutputFile::open(path.clone()).unwrap());
        assert!(!path.exists());
        let mut file = OutputFile::open(path.clone()).unwrap().begin().unwrap();
        file.write_all(b"line\n").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"line\n");
    }

    #[test]
    fn a_file_that_was_there_is_untouched_until_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "an older and longer log\n").unwrap();
        drop(OutputFile::open(path.clone()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"an older and longer log\n");
        let mut file = OutputFile::open(path.clone()).unwrap().begin().unwrap();
        file.write_all(b"new\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
    }

    #[test]
    fn a_link_to_nothing_creates_and_removes_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        symlink(&target, &link).unwrap();
        let output = OutputFile::open(link.clone()).unwrap();
        assert!(target.exists());
        drop(output);
        assert!(!target.exists());
        assert!(link.is_symlink(), "the link was there before");
    }

    #[test]
    fn another_file_of_the_same_name_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let output = OutputFile::open(path.clone()).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        fs::write(&path, "somebody else's\n").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"somebody else's\n");
    }

    #[test]
    fn devices_are_written_as_they_are() {
        let mut file = OutputFile::open("/dev/null".into())
            .unwrap()
            .begin()
            .unwrap();
        file.write_all(b"line\n").unwrap();
        assert!(Path::new("/dev/null").exists());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().to_owned(),
            folder.path().join("no/log"),
            PathBuf::new(),
        ] {
            let sentence = OutputFile::open(path.clone()).unwrap_err().to_string();
            assert!(
                sentence.starts_with(&format!("cannot write the log to '{}': ", path.display()))
            );
        }
        assert!(matches!(Output::open("-".into()), Ok(Output::Stdout)));
    }
}
