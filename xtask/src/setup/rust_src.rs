//! The standard library's source, which `-Z build-std=core` compiles for the BPF target.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{
    Setup,
    apt::{self, Apt},
    toolchain::Toolchain,
};
use crate::{cache::UNFINISHED, exec, say::say};

/// How long rustup may try: where it cannot download it may wait for long.
const RUSTUP_LIMIT: Duration = Duration::from_mins(3);

/// Where a toolchain keeps the library, below its folder.
const LIBRARY: &str = "lib/rustlib/src/rust/library";

/// Where it is unpacked.
const WORK: &str = "rust-src-work";

/// Whether the toolchain has the source, whole.
fn present(toolchain: &Toolchain) -> bool {
    let library = toolchain.sysroot.join(LIBRARY);
    library.join("Cargo.lock").exists() && library.join("core/src/lib.rs").exists()
}

/// Gets the source if it is not there.
pub(super) fn ensure(setup: &Setup, toolchain: &Toolchain) -> Result<()> {
    if present(toolchain) {
        return Ok(());
    }
    // It may take rustup long: meanwhile others may fetch.
    let (_alone, scratch) = setup.cache.lock_folder(WORK)?;
    if present(toolchain) {
        return Ok(());
    }
    say("setup: adding rust-src to the toolchain with rustup");
    match with_rustup() {
        Ok(()) if present(toolchain) => return Ok(()),
        Ok(()) => say("setup: rustup is done, but the toolchain in use has no source yet"),
        Err(error) => say(format!(
            "setup: rustup cannot add it ({error:#}); taking Debian's"
        )),
    }
    let machine = apt::machine("rust-src", "`rustup component add rust-src`")?;
    let lock = setup.cache.lock()?;
    let apt = Apt::for_guests(&setup.cache, &lock, &machine)?;
    let versions = apt.versions("rust-src")?;
    let version = choose(&versions, &toolchain.release).with_context(|| {
        format!(
            "Debian has no rust-src of {}; run `rustup component add rust-src` where rustup can download",
            toolchain.release
        )
    })?;
    say(format!("setup: fetching Debian's rust-src {version}"));
    apt.unpack(&[format!("rust-src={version}")], &scratch)?;
    let unpacked = scratch.join(format!("usr/src/rustc-{}/library", toolchain.release));
    place(&unpacked, &toolchain.sysroot.join(LIBRARY))?;
    fs::remove_dir_all(&scratch).map_err(Into::into)
}

/// Asks rustup for the component.
fn with_rustup() -> Result<()> {
    let child = Command::new("rustup")
        .args(["component", "add", "rust-src"])
        .current_dir(super::toolchain::workspace())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .context("no rustup")?;
    match exec::wait_with_limit("rustup", child, RUSTUP_LIMIT)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("it failed, {status}"),
        None => bail!("it took longer than {} s", RUSTUP_LIMIT.as_secs()),
    }
}

/// Copies the library beside its place and renames it there.
fn place(unpacked: &Path, library: &Path) -> Result<()> {
    let parent = library.parent().context("the library has no parent")?;
    let unwritable = || {
        format!(
            "cannot write to {}; run `rustup component add rust-src` as the toolchain's owner",
            parent.display()
        )
    };
    fs::create_dir_all(parent).with_context(unwritable)?;
    let temporary = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(parent)
        .with_context(unwritable)?;
    let copy = temporary.path().join("library");
    exec::output(
        Command::new("cp")
            .arg("--recursive")
            .arg(unpacked)
            .arg(&copy),
    )?;
    if library.exists() {
        fs::rename(library, temporary.path().join("replaced"))?;
    }
    fs::rename(&copy, library).with_context(unwritable)
}

/// The package's version that holds the source of `release`.
fn choose(versions: &[(String, String)], release: &str) -> Option<String> {
    versions
        .iter()
        .map(|(version, _)| version)
        .find_map(|version| {
            let rest = version.strip_prefix(release)?;
            rest.starts_with(['+', '-', '~']).then(|| version.clone())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_fits_the_compiler() {
        let versions = |list: &[&str]| -> Vec<(String, String)> {
            list.iter()
                .map(|version| ((*version).to_owned(), "trixie".to_owned()))
                .collect()
        };
        assert_eq!(
            choose(
                &versions(&["1.96.0+dfsg1-1", "1.95.0+dfsg1-2~bpo13+1"]),
                "1.95.0"
            )
            .as_deref(),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(
            choose(&versions(&["1.95.01-1", "1.85.0-1"]), "1.95.0"),
            None
        );
    }

    #[test]
    fn the_library_is_placed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("core/src")).unwrap();
        fs::write(from.join("core/src/lib.rs"), "new").unwrap();
        let library = folder.path().join("sysroot").join(LIBRARY);
        fs::create_dir_all(&library).unwrap();
        fs::write(library.join("half"), "").unwrap();
        place(&from, &library).unwrap();
        assert_eq!(
            fs::read_to_string(library.join("core/src/lib.rs")).unwrap(),
            "new"
        );
        assert!(!library.join("half").exists());
    }
}
