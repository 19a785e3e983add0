//! bpf-linker, built against the LLVM that rustup's toolchain ships: no other LLVM is needed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    Setup,
    toolchain::{Toolchain, cargo},
};
use crate::{exec, say::say};

/// The version that the BPF crate is linked with.
const VERSION: &str = "0.13.0";

/// The stable path of the linker, below the cache.
const LINK: &str = "tools/bin/bpf-linker";

/// Where a build is at work.
const WORK: &str = "bpf-linker-work";

/// Builds the linker if it is not there, and returns its stable path.
pub(super) fn ensure(setup: &Setup, toolchain: &Toolchain) -> Result<PathBuf> {
    let folder = format!("tools/bpf-linker-{VERSION}-rustc-{}", toolchain.release);
    let program = setup.cache.path(&folder).join("bin/bpf-linker");
    let link = setup.cache.path(LINK);
    if works(&program, toolchain) && points_to(&link, &program) {
        return Ok(link);
    }
    // Building takes long: meanwhile others may fetch.
    let (_alone, scratch) = setup.cache.lock_folder(WORK)?;
    if !works(&program, toolchain) {
        say(format!(
            "setup: building bpf-linker {VERSION} against the toolchain's LLVM {}",
            toolchain.llvm_major
        ));
        let log = setup.cache.path("bpf-linker.log");
        let built = scratch.join("built");
        build(toolchain, &scratch, &built, &log)?;
        let lock = setup.cache.lock()?;
        setup.cache.install(&lock, &folder, |target| {
            fs::remove_dir(target)?;
            fs::rename(&built, target).map_err(Into::into)
        })?;
    }
    fs::remove_dir_all(&scratch)?;
    let lock = setup.cache.lock()?;
    setup.cache.link(&lock, LINK, &program)?;
    Ok(link)
}

/// Whether there is one, of whatever version.
pub(super) fn is_there(setup: &Setup) -> bool {
    setup.cache.path(LINK).exists()
}

/// Whether the linker runs, which needs the very toolchain that it was built against.
fn works(program: &Path, toolchain: &Toolchain) -> bool {
    let built_for = program
        .parent()
        .and_then(Path::parent)
        .map(|folder| fs::read_to_string(folder.join("sysroot")).unwrap_or_default());
    built_for.as_deref() == toolchain.sysroot.to_str()
        && Command::new(program)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
}

fn points_to(link: &Path, program: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| target == program)
}

/// Builds the linker into `target`; what comes in between lies in `scratch`.
fn build(toolchain: &Toolchain, scratch: &Path, target: &Path, log: &Path) -> Result<()> {
    let library = toolchain.lib_llvm()?;
    let folder = library.parent().context("the library has no folder")?;
    let prefix = scratch.join("llvm");
    fs::create_dir_all(prefix.join("lib"))?;
    symlink(&library, prefix.join("lib/libLLVM.so"))?;
    exec::logged(
        "bpf-linker",
        cargo()
            .args(["install", "bpf-linker", "--locked", "--version", VERSION])
            .arg("--no-default-features")
            .arg(format!("--features=llvm-{}", toolchain.llvm_major))
            .arg("--root")
            .arg(target)
            .arg("--target-dir")
            .arg(scratch.join("target"))
            .env("LLVM_PREFIX", &prefix)
            // LLVM does the work when it links, and is built already: what is built here need not
            // be fast, nor be debugged (its own profile has both).
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env(
                "RUSTFLAGS",
                format!("-C link-arg=-Wl,-rpath,{}", folder.display()),
            )
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
        log,
    )
    .context(
        "bpf-linker cannot be built; where another one exists, ISOL_TRACE_BPF_LINKER names it",
    )?;
    let sysroot = toolchain.sysroot.to_string_lossy();
    fs::write(target.join("sysroot"), sysroot.as_bytes())?;
    Ok(())
}
