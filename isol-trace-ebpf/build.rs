//! Chooses the architecture whose kernel is traced, and rebuilds the object when another linker takes over.

use std::{
    env::{self, consts::ARCH},
    path::Path,
};

/// Names the architecture of the traced kernel, as Rust does. The target does not: it is BPF for all.
const VARIABLE: &str = "ISOL_TRACE_ARCH";

/// What is taken where an architecture has no files of its own: what only this one has is absent on that
/// kernel, and the verdicts say so.
const OTHERWISE: &str = "x86_64";

fn main() {
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    println!("cargo:rerun-if-changed=src/arch");
    println!("cargo:rustc-check-cfg=cfg(traced_arch, values(any()))");
    let named = env::var(VARIABLE).unwrap_or_else(|_| ARCH.to_owned());
    let has_files = Path::new("src/arch")
        .join(&named)
        .with_extension("rs")
        .exists();
    let arch = if has_files { &named } else { OTHERWISE };
    println!("cargo:rustc-cfg=traced_arch=\"{arch}\"");
}
