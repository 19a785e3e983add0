//! Building the workspace's programs: for this machine, or as single static files.
//!
//! - [`dist`]: the binary that is handed out.

mod dist;

use std::{path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    say::say,
    setup::{BuildTools, target_folder},
};

/// What runs in a guest, the tracer among it. Cargo settles the features of shared crates by what
/// it builds at once: all that is built statically is built so, or it would be compiled twice.
const GUEST: [&str; 3] = [
    "--package=isol-trace",
    "--package=isol-trace-guest",
    "--bins",
];

/// The tracer's name.
const TRACER: &str = "isol-trace";

/// Programs of a guest of which nobody asks for a line: the tables are a dozen megabytes of each, which
/// a guest would have to unpack.
const WITHOUT_LINES: [&str; 3] = ["init", "settle", "syscall-loop"];

/// Programs for a guest.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Name and path of each.
    pub(crate) guest: Vec<(String, PathBuf)>,
}

/// Builds `isol-trace` for release and returns where it is; its line tables lie beside it.
pub(crate) fn release(tools: &BuildTools, statically: bool) -> Result<PathBuf> {
    let built = if statically {
        build_static(tools, &GUEST)?
    } else {
        build(tools, &["--package=isol-trace", "--bin=isol-trace"], None)?
    };
    let tracer = built.into_iter().find(|(name, _)| name == TRACER);
    let (_, tracer) = tracer.context("cargo built no isol-trace")?;
    dist::leave(&tools.toolchain, &tracer)
}

/// Whether the programs of a guest have been built before; what has changed since is little.
pub(crate) fn guest_programs_are_there(host: &str) -> bool {
    target_folder()
        .join(host)
        .join("release")
        .join(TRACER)
        .exists()
}

/// Builds every program of a guest.
pub(crate) fn guest_programs(tools: &BuildTools) -> Result<Programs> {
    let mut guest = build_static(tools, &GUEST)?;
    for (name, path) in &mut guest {
        if name == TRACER {
            // Its line tables would be most of what a guest has to unpack.
            *path = dist::leave(&tools.toolchain, path)?;
            dist::require_small(path)?;
        } else if WITHOUT_LINES.contains(&name.as_str()) {
            *path = dist::plain(&tools.toolchain, path)?;
        }
    }
    if !guest.iter().any(|(name, _)| name == "init") {
        bail!("cargo built no init for the guest");
    }
    Ok(Programs { guest })
}

/// Builds the tests and examples of the crate for task isolation.
pub(crate) fn task_isolation(tools: &BuildTools) -> Result<Vec<(String, PathBuf)>> {
    build_static(
        tools,
        &["--package=task-isolation", "--examples", "--test=guest"],
    )
}

/// Builds programs that need nothing of the system they run on: name and path of each.
fn build_static(tools: &BuildTools, what: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let host = &tools.toolchain.host;
    if !host.ends_with("-linux-gnu") {
        bail!(
            "static binaries are built with glibc's static archive, and this toolchain is for {host}"
        );
    }
    say("build: isol-trace as a static binary, and the programs of a guest");
    let variable = format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        host.replace('-', "_").to_uppercase()
    );
    build(tools, what, Some((host, &variable))).context(
        "the static build failed; it needs glibc's static archive (Debian: libc6-dev), and what \
         the compiler said above",
    )
}

/// Has cargo build for release, statically for a target where one is given with the variable of its
/// flags: name and path of each executable.
fn build(
    tools: &BuildTools,
    what: &[&str],
    statically: Option<(&str, &str)>,
) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = tools.cargo();
    cargo
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .args(what);
    if let Some((target, variable)) = statically {
        cargo
            .args(["--target", target])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env(variable, "-C target-feature=+crt-static");
    }
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo failed ({})", output.status);
    }
    Ok(executables(&String::from_utf8_lossy(&output.stdout)))
}

/// The executables that cargo's messages name, by the names of their targets: a test's file has more to
/// its name.
fn executables(messages: &str) -> Vec<(String, PathBuf)> {
    messages
        .lines()
        .filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let path = message.get("executable")?.as_str()?;
            let name = message.get("target")?.get("name")?.as_str()?;
            Some((name.to_owned(), path.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","target":{"name":"init"},"executable":"/t/release/init"}
{"reason":"compiler-artifact","target":{"name":"guest"},"executable":"/t/release/deps/guest-0123"}
not json
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executables(messages),
            [
                ("init".to_owned(), PathBuf::from("/t/release/init")),
                (
                    "guest".to_owned(),
                    PathBuf::from("/t/release/deps/guest-0123")
                )
            ]
        );
    }
}
