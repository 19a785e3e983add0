//! From Debian's source and our patches to an image, kept in the cache.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, bail};

use super::series::{self, Base, Recipe};
use crate::{
    arch::{IMAGE, IMAGE_IN_TREE, MAKE},
    exec::{self, Pace},
    say::say,
    setup::{
        COMPILER, KernelTools, Setup,
        apt::{self, Apt},
    },
};

/// What a build's warnings are kept as.
const WARNINGS: &str = "warnings";

/// Where a build is at work: its source and objects take some gigabytes.
const WORK: &str = "isolation-work";

/// A kernel that has been built.
#[derive(Clone, Debug)]
pub(super) struct Built {
    folder: PathBuf,
}

impl Built {
    /// What boots.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join(IMAGE)
    }

    /// The selftest's program, which needs no library; a kernel without the series has none.
    pub(super) fn selftest(&self) -> PathBuf {
        self.folder.join("selftest")
    }

    /// The lines of the build's log in which something warned.
    pub(super) fn warnings(&self) -> Result<String> {
        let path = self.folder.join(WARNINGS);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// What this machine lacks for building.
#[derive(Debug)]
pub(super) enum Lacking {
    /// The package with the source: Debian replaces the newest kernel's every few weeks.
    Source(&'static str),
    /// Programs or headers.
    Tools,
}

impl fmt::Display for Lacking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(package) => write!(formatter, "the package {package} is not to be had"),
            Self::Tools => formatter.write_str("what building a kernel takes is not to be had"),
        }
    }
}

impl std::error::Error for Lacking {}

/// A kernel, from the cache if it has been built.
pub(super) fn ensure(setup: &Setup, recipe: Recipe, pace: Pace) -> Result<Built> {
    let name = recipe.folder()?;
    let folder = setup.cache.path(&name);
    let is_built = || is_whole(&folder);
    if is_built() {
        return Ok(Built { folder });
    }
    let tools = setup.kernel_tools().context(Lacking::Tools)?;
    let (_alone, scratch) = setup.cache.lock_folder(WORK)?;
    if is_built() {
        return Ok(Built { folder });
    }
    let source = fetch(setup, &tools, recipe.base, &scratch)?;
    apply(recipe, &tools, &source)?;
    let log = setup.cache.path("isolation.log");
    say(format!(
        "kernel: building Linux {recipe}, for some minutes; see {}",
        log.display()
    ));
    let output = scratch.join("output");
    make(recipe, &tools, pace, &source, &output, &log)?;
    let lock = setup.cache.lock()?;
    let folder = setup.cache.install(&lock, &name, |target| {
        fs::copy(output.join(IMAGE_IN_TREE), target.join(IMAGE))?;
        fs::copy(output.join(".config"), target.join("config"))?;
        fs::write(target.join(WARNINGS), warnings(&fs::read(&log)?))?;
        if recipe.stock {
            return Ok(());
        }
        compile_selftest(&source, target)
    })?;
    fs::remove_dir_all(&scratch)?;
    Ok(Built { folder })
}

/// Whether the cache has a kernel.
pub(super) fn is_built(setup: &Setup, recipe: Recipe) -> Result<bool> {
    Ok(is_whole(&setup.cache.path(&recipe.folder()?)))
}

/// Whether a folder of the cache has all that a build leaves: what was built before warnings were
/// kept is built again.
fn is_whole(folder: &Path) -> bool {
    folder.join(WARNINGS).is_file()
}

/// Fetches and unpacks the newest source of a base.
pub(super) fn fetch(
    setup: &Setup,
    tools: &KernelTools,
    base: Base,
    scratch: &Path,
) -> Result<PathBuf> {
    // Held no longer than this takes: others may fetch while we build.
    let lock = setup.cache.lock()?;
    let machine = apt::machine(
        &format!("the source of Linux {}", base.name),
        "apply `kernel/patches` to a tree of your own, build it, and name it with `--kernel PATH`",
    )
    .context(Lacking::Source(base.package))?;
    let apt = Apt::for_guests(&setup.cache, &lock, &machine)?;
    if apt.versions(base.package)?.is_empty() {
        return Err(Lacking::Source(base.package).into());
    }
    say(format!("kernel: fetching {}", base.package));
    apt.unpack(&[base.package.to_owned()], scratch)?;
    drop(lock);
    unpack(tools, base, scratch)
}

/// The warnings of a build's log.
fn warnings(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("warning:"))
        .collect();
    lines.join("\n")
}

/// Unpacks the source that lies as an archive in an unpacked package.
fn unpack(tools: &KernelTools, base: Base, scratch: &Path) -> Result<PathBuf> {
    let archive = scratch
        .join("usr/src")
        .join(format!("{}.tar.xz", base.package));
    let mut tar = Command::new("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(scratch);
    exec::output(tools.apply(&mut tar))
        .with_context(|| format!("the package {} has no source", base.package))?;
    Ok(scratch.join(base.package))
}

/// Applies the series, every line where it says.
fn apply(recipe: Recipe, tools: &KernelTools, source: &Path) -> Result<()> {
    for path in recipe.patches()? {
        let mut patch = Command::new("patch");
        patch
            .args(["--strip=1", "--fuzz=0", "--silent", "--forward"])
            .arg("--input")
            .arg(&path)
            .current_dir(source);
        exec::output(tools.apply(&mut patch))
            .with_context(|| format!("{} does not apply", path.display()))?;
    }
    Ok(())
}

fn make(
    recipe: Recipe,
    tools: &KernelTools,
    pace: Pace,
    source: &Path,
    output: &Path,
    log: &Path,
) -> Result<()> {
    fs::create_dir(output)?;
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let run = |target: &str| {
        let mut command = Command::new("make");
        command
            .arg(format!("--jobs={jobs}"))
            .arg(format!("O={}", output.display()))
            .arg(MAKE)
            .arg(format!("HOSTCC={}", tools.host_compiler()))
            .arg(target)
            .current_dir(source);
        exec::logged("Linux", &mut pace.of(tools.apply(&mut command)), log)
    };
    run("tinyconfig")?;
    let mut merge = Command::new("scripts/kconfig/merge_config.sh");
    merge
        .arg("-m")
        .arg("-O")
        .arg(output)
        .arg(output.join(".config"))
        .args(series::configs(recipe.debug))
        .current_dir(source);
    exec::logged("Linux", tools.apply(&mut merge), log)?;
    run("olddefconfig")?;
    let config = fs::read_to_string(output.join(".config"))?;
    if !recipe.stock && !config.lines().any(|line| line == "CONFIG_TASK_ISOLATION=y") {
        bail!("the configuration lacks what CONFIG_TASK_ISOLATION depends on");
    }
    run(IMAGE)
}

/// Compiles the selftest against the patched headers, for a guest without libraries.
fn compile_selftest(source: &Path, target: &Path) -> Result<()> {
    let headers = target.join("include/linux");
    fs::create_dir_all(&headers)?;
    fs::copy(
        source.join("include/uapi/linux/task_isolation.h"),
        headers.join("task_isolation.h"),
    )?;
    exec::output(
        Command::new(COMPILER)
            .args(["-O2", "-static", "-I"])
            .arg(target.join("include"))
            .arg("-o")
            .arg(target.join("selftest"))
            .arg("task_isolation.c")
            .arg("-lpthread")
            .current_dir(source.join("tools/testing/selftests/task_isolation")),
    )?;
    Ok(())
}
