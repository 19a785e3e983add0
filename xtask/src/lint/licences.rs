//! Licences and sources of every dependency against `deny.toml`.
//!
//! cargo-deny reads the same file and does more; building it takes longer than all other checks
//! together, so this small check stands in for its two most important ones.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::{
    exec,
    setup::{BuildTools, workspace},
};

/// The registry that dependencies may come from, as cargo names it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The part of `deny.toml` that is read here.
#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

/// The part of `cargo metadata` that is read here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Absent for the workspace's own.
    source: Option<String>,
}

/// Checks every package that the lock file names.
pub(super) fn check(tools: &BuildTools) -> Result<()> {
    let path = workspace().join("deny.toml");
    let policy =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy: Policy =
        toml::from_str(&policy).with_context(|| format!("cannot read {}", path.display()))?;
    let metadata = exec::output(tools.cargo().args([
        "metadata",
        "--format-version=1",
        "--all-features",
        "--locked",
    ]))?;
    let metadata: Metadata = serde_json::from_str(&metadata)?;
    let problems: Vec<String> = metadata
        .packages
        .iter()
        .filter_map(|package| problem(package, &policy.licenses.allow))
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    bail!("deny.toml does not allow: {}", problems.join("; "))
}

/// What is wrong with a package.
fn problem(package: &Package, allowed: &BTreeSet<String>) -> Option<String> {
    let Package { name, version, .. } = package;
    let source = package.source.as_deref()?;
    if source != REGISTRY {
        return Some(format!("{name} {version} from {source}"));
    }
    let Some(license) = &package.license else {
        return Some(format!("{name} {version}, which names no licence"));
    };
    let Ok(expression) = Expression::parse_mode(license, ParseMode::LAX) else {
        return Some(format!("{name} {version}, whose licence reads `{license}`"));
    };
    let fits = expression.evaluate(|requirement| allowed.contains(&requirement.to_string()));
    (!fits).then(|| format!("{name} {version} under {license}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: "p".into(),
            version: "1.0.0".into(),
            license: license.map(Into::into),
            source: source.map(Into::into),
        }
    }

    fn found(license: Option<&str>, source: Option<&str>) -> Option<String> {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .into();
        problem(&package(license, source), &allowed)
    }

    #[test]
    fn a_choice_needs_one_and_a_sum_needs_all() {
        for fits in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "Apache-2.0 AND MIT",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(found(Some(fits), Some(REGISTRY)), None, "{fits}");
        }
        for misfit in ["GPL-2.0-only", "MIT AND GPL-2.0-only", "anything goes"] {
            assert!(found(Some(misfit), Some(REGISTRY)).is_some(), "{misfit}");
        }
    }

    #[test]
    fn a_package_without_a_licence_or_from_elsewhere_is_a_problem() {
        assert!(found(None, Some(REGISTRY)).is_some());
        assert!(found(Some("MIT"), Some("git+https://example.org/p")).is_some());
        assert_eq!(found(None, None), None, "the workspace's own");
    }
}
