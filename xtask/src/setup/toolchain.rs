//! The Rust toolchain in use: its version, its LLVM and its folder.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::exec;

/// What `rustc` says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// The release, such as `1.95.0`.
    pub(crate) release: String,
    /// The target it runs on, such as `x86_64-unknown-linux-gnu`.
    pub(crate) host: String,
    /// The major version of its LLVM.
    pub(crate) llvm_major: u32,
    /// Its folder.
    pub(crate) sysroot: PathBuf,
}

impl Toolchain {
    /// Asks the `rustc` of the workspace.
    pub(crate) fn detect() -> Result<Self> {
        let verbose = exec::output(rustc().arg("-vV"))?;
        let (release, host, llvm_major) = parse(&verbose)
            .with_context(|| format!("`rustc -vV` names no release and LLVM:\n{verbose}"))?;
        let sysroot = exec::output(rustc().args(["--print", "sysroot"]))?;
        Ok(Self {
            release,
            host,
            llvm_major,
            sysroot: sysroot.trim_end().into(),
        })
    }

    /// The LLVM library that the toolchain ships.
    pub(crate) fn lib_llvm(&self) -> Result<PathBuf> {
        let folder = self.sysroot.join("lib");
        let names = fs::read_dir(&folder)
            .with_context(|| format!("cannot read the toolchain's {}", folder.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let name = choose_lib_llvm(names, self.llvm_major).with_context(|| {
            format!(
                "no libLLVM.so of LLVM {} in {}: bpf-linker needs the one that rustup's toolchain \
                 ships; install the toolchain with rustup",
                self.llvm_major,
                folder.display()
            )
        })?;
        Ok(folder.join(name))
    }
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The `rustc` that the workspace pins.
fn rustc() -> Command {
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(workspace());
    command
}

/// The `cargo` that runs us, in the workspace's folder, free of what it set for us alone.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    for (name, _) in env::vars_os() {
        if ours_alone(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// A variable that `cargo run` sets for the program it runs.
fn ours_alone(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| {
        name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "CARGO_CRATE_NAME"
            || name == "CARGO_BIN_NAME"
    })
}

/// Release, host and LLVM major of `rustc -vV`.
fn parse(verbose: &str) -> Option<(String, String, u32)> {
    let field = |key: &str| {
        verbose
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    };
    let llvm = field("LLVM version")?.split('.').next()?.parse().ok()?;
    Some((field("release")?.into(), field("host")?.into(), llvm))
}

/// The library's file among a folder's names: `libLLVM.so.22.1-rust-…` before `libLLVM-22-….so`.
fn choose_lib_llvm(mut names: Vec<String>, major: u32) -> Option<String> {
    names.sort();
    let starts = [
        format!("libLLVM.so.{major}."),
        format!("libLLVM-{major}"),
        "libLLVM.so".to_owned(),
    ];
    starts.iter().find_map(|start| {
        names
            .iter()
            .find(|name| name.starts_with(start.as_str()))
            .cloned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBOSE: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            parse(VERBOSE),
            Some(("1.95.0".into(), "x86_64-unknown-linux-gnu".into(), 22))
        );
        assert_eq!(parse("rustc 1.95.0\n"), None);
    }

    #[test]
    fn the_library_fits_the_major_version() {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        assert_eq!(
            choose_lib_llvm(
                names(&[
                    "libLLVM-22-rust-1.95.0-stable.so",
                    "libLLVM.so.22.1-rust-1.95.0-stable",
                    "librustc_driver-6108105cd7e839cf.so"
                ]),
                22
            )
            .as_deref(),
            Some("libLLVM.so.22.1-rust-1.95.0-stable")
        );
        assert_eq!(
            choose_lib_llvm(names(&["libLLVM-21-rust-1.91.0.so"]), 22),
            None
        );
    }
}
