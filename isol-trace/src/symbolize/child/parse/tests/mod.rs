//! Programs that this machine's compilers make, and files that mean harm.

mod built;

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::symbolize::{Image, Limits, LinkedAddress, Place, Program};

/// A folder with a program in it.
pub(super) struct Built {
    pub(super) folder: TempDir,
}

impl Built {
    /// An empty folder.
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file");
    }

    /// Runs a compiler or another tool there; its words are separated by spaces.
    pub(super) fn run(&self, command: &str) -> &Self {
        let mut words = command.split(' ');
        let output = Command::new(words.next().expect("a program"))
            .args(words)
            .current_dir(self.folder.path())
            .output()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        self
    }

    pub(super) fn image(&self, name: &str) -> Image {
        image(&self.folder.path().join(name), Limits::default())
    }

    pub(super) fn program(&self, name: &str) -> Program {
        Program::new(self.image(name))
    }

    /// The address of a symbol, by a tool that knows nothing of this room.
    pub(super) fn address(&self, name: &str, symbol: &str) -> u64 {
        let output = Command::new("nm")
            .arg(self.folder.path().join(name))
            .output()
            .expect("nm is where cc is");
        let text = String::from_utf8(output.stdout).expect("text");
        let line = text
            .lines()
            .find(|line| line.ends_with(&format!(" {symbol}")));
        let line = line.unwrap_or_else(|| panic!("no {symbol} in {name}"));
        u64::from_str_radix(line.split(' ').next().expect("an address"), 16).expect("hex")
    }
}

pub(super) fn image(path: &Path, limits: Limits) -> Image {
    let file = fs::File::open(path).expect("a file");
    Image::open(&file, limits).expect("an ELF file")
}

/// The places of the bytes of a function.
pub(super) fn places(program: &Program, begin: u64, length: u64) -> Vec<Place> {
    (begin..begin + length)
        .map(|at| program.place(LinkedAddress(at), 0))
        .collect()
}
