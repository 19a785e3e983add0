//! Builds the BPF object, which the loader embeds.
//!
//! Not through `aya-build`: it sets the compiler's flags itself and leaves no room for the
//! BPF instruction set, and the span machine needs atomic additions that return the old
//! value (`v3`, Linux 5.12).

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGE: &str = "isol-trace-ebpf";
const TARGET: &str = "bpfel-unknown-none";

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .parent()
        .ok_or("the package has no workspace above it")?;
    for watched in [
        "isol-trace-ebpf/src",
        "isol-trace-ebpf/Cargo.toml",
        "isol-trace-ebpf/build.rs",
        "isol-trace-common/src",
    ] {
        println!(
            "cargo:rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    println!("cargo:rerun-if-env-changed=ISOL_TRACE_BPF_LINKER");
    // By it debuggers find the line tables, which `cargo xtask build` leaves in a file of their own.
    println!("cargo:rustc-link-arg-bins=-Wl,--build-id");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target_dir = target_folder(&out).unwrap_or(&out).join("bpf");

    let mut build = Command::new(env::var("CARGO")?);
    build
        .current_dir(workspace)
        .args([
            "build",
            "--release",
            "--package",
            PACKAGE,
            "--target",
            TARGET,
        ])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir)
        // The library of the pinned stable compiler is built for a target that it does not ship.
        .env("RUSTC_BOOTSTRAP", "1")
        // The kernel that the programs are for is the one that the loader runs on.
        .env("ISOL_TRACE_ARCH", env::var("CARGO_CFG_TARGET_ARCH")?)
        .env("CARGO_ENCODED_RUSTFLAGS", flags().join("\x1f"))
        .env_remove("RUSTC")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    if !build.status()?.success() {
        return Err(
            "building the BPF object failed: `cargo xtask build` sets up what it needs \
                    (rust-src and bpf-linker)"
                .into(),
        );
    }
    let object = target_dir.join(TARGET).join("release").join(PACKAGE);
    fs::copy(&object, out.join("isol-trace.bpf.o"))?;
    Ok(())
}

/// Cargo's own folder, known by what it keeps there: what is built in it for the object is the same
/// for every profile and target.
fn target_folder(out: &Path) -> Option<&Path> {
    let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
    out.ancestors()
        .find(|folder| marks.iter().any(|mark| folder.join(mark).exists()))
}

fn flags() -> Vec<String> {
    let linker = env::var("ISOL_TRACE_BPF_LINKER")
        .ok()
        .or_else(cached_linker);
    let mut flags = vec![
        "-Ctarget-cpu=v3".to_owned(),
        // The verifier wants function information for every crate of the object.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    if let Some(linker) = linker {
        flags.push(format!("-Clinker={linker}"));
    }
    flags
}

/// Where `cargo xtask` puts the linker; `None` leaves it to `PATH`.
fn cached_linker() -> Option<String> {
    let cache = env::var_os("ISOL_TRACE_CACHE")
        .map(PathBuf::from)
        .or_else(|| {
            let base = env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| env::home_dir().map(|home| home.join(".cache")))?;
            Some(base.join("isol-trace"))
        })?;
    let linker = cache.join("tools/bin/bpf-linker");
    Path::new(&linker)
        .exists()
        .then(|| linker.display().to_string())
}
