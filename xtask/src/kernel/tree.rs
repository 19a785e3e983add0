//! A tree to work on the series in, and the way back from it to the patches.
//!
//! `fetch` makes a git repository of a base's source: its first commit is what Debian has, tagged `base`, and
//! the branch `isolation` has the series on it, a commit a patch. `series` writes the patches anew
//! from what that branch has become.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use super::{build, series::Base};
use crate::{
    cache::UNFINISHED,
    exec,
    say::{print, say},
    setup::{Setup, workspace},
};

/// Who commits what nobody has written here.
const IDENTITY: [&str; 4] = [
    "-c",
    "user.name=isol-trace maintainers",
    "-c",
    "user.email=maintainers@isol-trace.invalid",
];

/// Where the tree of a base is.
fn folder(base: Base) -> PathBuf {
    workspace().join("target/kernel").join(base.name)
}

/// Makes the tree of a base, unless it is there, and prints where it is.
pub(crate) fn fetch(setup: &Setup, base: Base) -> Result<ExitCode> {
    let folder = folder(base);
    if folder.join(".git").exists() {
        say("kernel: the tree is there already; it is left as it is");
        print(folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let parent = folder.parent().context("a tree has a folder around it")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let scratch = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(parent)?;
    let tools = setup.kernel_tools()?;
    let source = build::fetch(setup, &tools, base, scratch.path())?;
    say("kernel: committing the source and the series, for a minute or two");
    git(&source, &["init", "--quiet"])?;
    git(&source, &["add", "--all", "--force"])?;
    let first = format!("Linux {}, as Debian has it", base.name);
    git(&source, &["commit", "--quiet", "--message", &first])?;
    git(&source, &["tag", "base"])?;
    git(&source, &["checkout", "--quiet", "-b", "isolation"])?;
    let mut am = command(&source);
    am.args(["am", "--quiet", "--keep-cr"])
        .args(base.patches()?);
    exec::output(&mut am)?;
    fs::rename(&source, &folder).with_context(|| folder.display().to_string())?;
    print(folder.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the patches of a base anew from its tree.
pub(crate) fn refresh(base: Base) -> Result<ExitCode> {
    let tree = folder(base);
    ensure!(
        tree.join(".git").exists(),
        "there is no tree at {}: `cargo xtask kernel fetch --base {}` makes it",
        tree.display(),
        base.name
    );
    let changed = git(&tree, &["status", "--porcelain", "--untracked-files=no"])?;
    ensure!(
        changed.trim().is_empty(),
        "what is not committed in {} would be left out:\n{changed}",
        tree.display()
    );
    let patches = base.folder();
    let parent = patches
        .parent()
        .context("patches have a folder around them")?;
    let written = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(parent)?;
    let output = written.path().display().to_string();
    git(
        &tree,
        &[
            "format-patch",
            "--quiet",
            "--no-signature",
            "--zero-commit",
            "--no-numbered",
            // Whatever the size of the tree: the same series is the same text.
            "--abbrev=9",
            "--output-directory",
            &output,
            "base..isolation",
        ],
    )?;
    for old in base.patches()? {
        fs::remove_file(&old).with_context(|| old.display().to_string())?;
    }
    for entry in fs::read_dir(written.path())? {
        let entry = entry?;
        fs::rename(entry.path(), patches.join(entry.file_name()))?;
    }
    print(patches.display());
    Ok(ExitCode::SUCCESS)
}

fn git(tree: &Path, arguments: &[&str]) -> Result<String> {
    exec::output(command(tree).args(arguments))
}

fn command(tree: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(IDENTITY).arg("-C").arg(tree);
    command
}
