//! Hosts that tests make up: a folder with the files of `/proc` and `/sys` that a test needs.
//! The tests of the library and those of the binary share this file.
//!
//! A kind of host is one text in `tests/doctor`, with a line for each file:
//!
//! ```text
//! # what it shows
//! base good                      the files of another kind first
//! without /sys/kernel/debug      less this one
//! /proc/1/comm = systemd         a file and its text; \n and \t stand for themselves
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A host that a test makes up, file by file.
#[derive(Debug)]
pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    /// A host without any file.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A kind of host of `tests/doctor`.
    pub(crate) fn of(kind: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/doctor")
            .join(kind)
            .with_extension("host");
        let mut tree = Self::new();
        for line in fs::read_to_string(path).unwrap().lines() {
            tree = if let Some(base) = line.strip_prefix("base ") {
                Self::of(base)
            } else if let Some(path) = line.strip_prefix("without ") {
                tree.without(path)
            } else if line.starts_with('/') {
                let (path, text) = line.split_once(" =").unwrap();
                let text = text.strip_prefix(' ').unwrap_or_default();
                tree.file(path, &text.replace("\\n", "\n").replace("\\t", "\t"))
            } else {
                assert!(line.starts_with('#'), "{line}");
                tree
            };
        }
        tree
    }

    /// Writes a file, with the line end that the kernel's files have.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
        self
    }

    /// Takes a file or folder away.
    pub(crate) fn without(self, path: &str) -> Self {
        let path = self.path(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    /// Where the file system of the host begins.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where a file of the host is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }
}
