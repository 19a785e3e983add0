//! What is handed out: the binary without its line tables, and these in a file beside it.
//!
//! Line tables are four fifths of the binary. Debuggers, `perf` and `addr2line` find them by the
//! binary's build identity and by the name that it gives (`.gnu_debuglink`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    cache::UNFINISHED,
    exec,
    setup::{Toolchain, workspace},
};

/// Their folder below the workspace.
const FOLDER: &str = "target/dist";

/// The binary's name.
const NAME: &str = "isol-trace";

/// The name of the file with its line tables.
const DEBUG_NAME: &str = "isol-trace.debug";

/// Leaves a binary that cargo has built in the folder, and returns where it is.
pub(super) fn leave(toolchain: &Toolchain, built: &Path) -> Result<PathBuf> {
    let folder = workspace().join(FOLDER);
    split(&objcopy(toolchain), built, &folder)?;
    Ok(folder.join(NAME))
}

/// The program that copies parts of a binary: of the machine's binutils, which a C compiler
/// brings along, else the toolchain's own.
fn objcopy(toolchain: &Toolchain) -> PathBuf {
    let name = "objcopy";
    if exec::is_installed(name) {
        return name.into();
    }
    let folder = format!("lib/rustlib/{}/bin/rust-objcopy", toolchain.host);
    toolchain.sysroot.join(folder)
}

/// Splits a binary in two files of `folder`, unless they are newer than it is.
fn split(objcopy: &Path, built: &Path, folder: &Path) -> Result<()> {
    let (binary, debug) = (folder.join(NAME), folder.join(DEBUG_NAME));
    if is_newer(&binary, built) && is_newer(&debug, built) {
        return Ok(());
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let scratch = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(folder)?;
    let (new_binary, new_debug) = (scratch.path().join(NAME), scratch.path().join(DEBUG_NAME));
    exec::output(
        Command::new(objcopy)
            .args(["--only-keep-debug", "--compress-debug-sections=zlib"])
            .arg(built)
            .arg(&new_debug),
    )?;
    let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
    link.push(&new_debug);
    exec::output(
        Command::new(objcopy)
            .arg("--strip-debug")
            .arg(link)
            .arg(built)
            .arg(&new_binary),
    )?;
    fs::rename(&new_debug, &debug).with_context(|| format!("cannot write {}", debug.display()))?;
    fs::rename(&new_binary, &binary).with_context(|| format!("cannot write {}", binary.display()))
}

/// Whether a file is there and was made after another.
fn is_newer(file: &Path, than: &Path) -> bool {
    let made = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
    matches!((made(file), made(than)), (Ok(file), Ok(than)) if file > than)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `readelf` says of a file.
    fn readelf(what: &[&str], file: &Path) -> String {
        exec::output(Command::new("readelf").args(what).arg(file)).unwrap()
    }

    fn build_identity(file: &Path) -> String {
        let notes = readelf(&["--notes", "--wide"], file);
        let (_, identity) = notes
            .split_once("Build ID: ")
            .expect("a binary has its identity");
        identity.lines().next().unwrap().to_owned()
    }

    #[test]
    fn a_binary_and_its_line_tables_are_parted_and_find_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let built = folder.path().join("built");
        fs::write(
            folder.path().join("main.c"),
            "int main(void) { return 0; }\n",
        )
        .unwrap();
        exec::output(
            Command::new("cc")
                .args(["-g", "-Wl,--build-id", "main.c", "-o", "built"])
                .current_dir(folder.path()),
        )
        .unwrap();
        let toolchain = Toolchain::detect().unwrap();
        split(&objcopy(&toolchain), &built, folder.path()).unwrap();
        let (binary, debug) = (folder.path().join(NAME), folder.path().join(DEBUG_NAME));
        let sections = |file: &Path| readelf(&["--sections", "--wide"], file);
        assert!(sections(&built).contains(".debug_line"));
        assert!(!sections(&binary).contains(".debug_line"));
        assert!(sections(&debug).contains(".debug_line"));
        assert!(sections(&binary).contains(".symtab"), "panics have names");
        let link = readelf(&["--string-dump=.gnu_debuglink"], &binary);
        assert!(link.contains(DEBUG_NAME), "{link}");
        assert_eq!(build_identity(&binary), build_identity(&debug));
        let size = |file: &Path| fs::metadata(file).unwrap().len();
        assert!(size(&binary) < size(&built));

        // Nothing is done twice.
        let made = fs::metadata(&binary).unwrap().modified().unwrap();
        split(Path::new("/no/objcopy"), &built, folder.path()).unwrap();
        assert_eq!(made, fs::metadata(&binary).unwrap().modified().unwrap());
        fs::remove_file(&debug).unwrap();
        split(Path::new("/no/objcopy"), &built, folder.path()).unwrap_err();
    }
}
