//! Building the workspace's programs: for this machine, or as single static files.

use std::{fs, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    exec,
    say::say,
    setup::{BuildTools, workspace},
};

/// The static binary's path below the workspace.
const STATIC: &str = "target/dist/isol-trace";

/// Programs for a guest.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Name and path of each.
    pub(crate) guest: Vec<(String, PathBuf)>,
}

/// Builds `isol-trace` for release and returns where it is.
pub(crate) fn release(tools: &BuildTools, statically: bool) -> Result<PathBuf> {
    if !statically {
        exec::shown(tools.cargo().args([
            "build",
            "--release",
            "--package=isol-trace",
            "--bin=isol-trace",
        ]))?;
        return Ok(workspace().join("target/release/isol-trace"));
    }
    let built = build_static(tools, &["--package=isol-trace", "--bin=isol-trace"])?;
    let (_, binary) = built.first().context("cargo built no isol-trace")?;
    let target = workspace().join(STATIC);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(binary, &target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(target)
}

/// Builds every program of a guest.
pub(crate) fn guest_programs(tools: &BuildTools) -> Result<Programs> {
    let guest = build_static(
        tools,
        &[
            "--package=isol-trace",
            "--package=isol-trace-guest",
            "--bins",
        ],
    )?;
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
    say("build: static binaries for the guest");
    let variable = format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        host.replace('-', "_").to_uppercase()
    );
    let output = tools
        .cargo()
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--target", host])
        .args(what)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env(variable, "-C target-feature=+crt-static")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!(
            "the static build failed; it needs glibc's static archive (Debian: libc6-dev), and \
             what the compiler said above"
        );
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
