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

/// Builds the linker if it is not there, and returns its stable path.
pub(super) fn ensure(setup: &Setup, toolchain: &Toolchain) -> Result<PathBuf> {
    let folder = format!("tools/bpf-linker-{VERSION}-rustc-{}", toolchain.release);
    let program = setup.cache.path(&folder).join("bin/bpf-linker");
    let link = setup.cache.path(LINK);
    if works(&program, toolchain) && points_to(&link, &program) {
        return Ok(link);
    }
    let lock = setup.cache.lock()?;
    if !works(&program, toolchain) {
        say(format!(
            "setup: building bpf-linker {VERSION} against the toolchain's LLVM {} (1 to 2 minutes)",
            toolchain.llvm_major
        ));
        let log = setup.cache.path("bpf-linker.log");
        setup
            .cache
            .install(&lock, &folder, |target| build(toolchain, target, &log))?;
    }
    setup.cache.link(&lock, LINK, &program)?;
    Ok(link)
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

/// Builds the linker into `target`.
fn build(toolchain: &Toolchain, target: &Path, log: &Path) -> Result<()> {
    let library = toolchain.lib_llvm()?;
    let folder = library.parent().context("the library has no folder")?;
    let scratch = tempfile::tempdir()?;
    let prefix = scratch.path().join("llvm");
    fs::create_dir_all(prefix.join("lib"))?;
    symlink(&library, prefix.join("lib/libLLVM.so"))?;
    exec::logged(
        cargo()
            .args(["install", "bpf-linker", "--locked", "--version", VERSION])
            .arg("--no-default-features")
            .arg(format!("--features=llvm-{}", toolchain.llvm_major))
            .arg("--root")
            .arg(target)
            .arg("--target-dir")
            .arg(scratch.path().join("target"))
            .env("LLVM_PREFIX", &prefix)
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
