//! What is handed out: the binary without its line tables, and these in a file beside it.
//!
//! Line tables are four fifths of the binary. Debuggers, `perf` and `addr2line` find them by the
//! binary's build identity and by the name that it gives (`.gnu_debuglink`).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cache::UNFINISHED,
    exec,
    setup::{Toolchain, workspace},
};

/// Their folder below the workspace.
const FOLDER: &str = "target/dist";

/// The folder of programs of a guest in it.
const GUEST_FOLDER: &str = "guest";

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

/// Bytes that the binary may have without its line tables: what a person downloads, and what a guest unpacks.
const MOST: u64 = 15 << 20;

/// Refuses a binary that has grown too large.
pub(super) fn require_small(binary: &Path) -> Result<()> {
    let bytes = fs::metadata(binary)
        .with_context(|| binary.display().to_string())?
        .len();
    if bytes > MOST {
        bail!(
            "{} has {bytes} bytes, and it is to have {MOST} at most: see what was added to it",
            binary.display()
        );
    }
    Ok(())
}

/// Leaves a program of a guest without its line tables below the folder, and returns where it is.
pub(super) fn plain(toolchain: &Toolchain, built: &Path) -> Result<PathBuf> {
    let folder = workspace().join(FOLDER).join(GUEST_FOLDER);
    let name = built.file_name().context("a program without a name")?;
    let plain = folder.join(name);
    let modified = fs::metadata(built).and_then(|it| it.modified());
    let modified = modified.with_context(|| built.display().to_string())?;
    if is_of(&plain, modified) {
        return Ok(plain);
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let scratch = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(&folder)?;
    let new = scratch.path().join(name);
    let mut strip = Command::new(objcopy(toolchain));
    exec::output(strip.arg("--strip-debug").arg(built).arg(&new))?;
    mark(&new, modified).with_context(|| new.display().to_string())?;
    fs::rename(&new, &plain).with_context(|| format!("cannot write {}", plain.display()))?;
    Ok(plain)
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

/// Splits a binary in two files of `folder`, unless they were made of it before.
fn split(objcopy: &Path, built: &Path, folder: &Path) -> Result<()> {
    let (binary, debug) = (folder.join(NAME), folder.join(DEBUG_NAME));
    let modified = fs::metadata(built).and_then(|it| it.modified());
    let modified = modified.with_context(|| built.display().to_string())?;
    if is_of(&binary, modified) && is_of(&debug, modified) {
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
    for file in [&new_binary, &new_debug] {
        mark(file, modified).with_context(|| file.display().to_string())?;
    }
    fs::rename(&new_debug, &debug).with_context(|| format!("cannot write {}", debug.display()))?;
    fs::rename(&new_binary, &binary).with_context(|| format!("cannot write {}", binary.display()))
}

/// Says of a file when what it was made of had been built. Cargo keeps a static binary and another one, and neither is
/// newer than what was made of the other.
fn mark(file: &Path, built: SystemTime) -> io::Result<()> {
    File::options().append(true).open(file)?.set_modified(built)
}

/// Whether a file was made of what was built then.
fn is_of(file: &Path, built: SystemTime) -> bool {
    let made_of = fs::metadata(file).and_then(|it| it.modified());
    made_of.is_ok_and(|made_of| made_of == built)
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

        require_small(&binary).unwrap();
        let large = File::create(folder.path().join("large")).unwrap();
        large.set_len(MOST + 1).unwrap();
        require_small(&folder.path().join("large")).unwrap_err();

        // Nothing is done twice.
        let made = fs::metadata(&binary).unwrap().modified().unwrap();
        split(Path::new("/no/objcopy"), &built, folder.path()).unwrap();
        assert_eq!(made, fs::metadata(&binary).unwrap().modified().unwrap());
        fs::remove_file(&debug).unwrap();
        split(Path::new("/no/objcopy"), &built, folder.path()).unwrap_err();

        // Another binary that cargo has built, before that one: what lies there is not of it.
        let other = folder.path().join("other");
        fs::copy(&built, &other).unwrap();
        let earlier = made - std::time::Duration::from_mins(1);
        mark(&other, earlier).unwrap();
        split(&objcopy(&toolchain), &other, folder.path()).unwrap();
        assert_eq!(earlier, fs::metadata(&binary).unwrap().modified().unwrap());
    }
}
