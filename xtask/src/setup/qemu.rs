//! The emulator: an installed QEMU if it is new enough, else Debian's, unpacked into the cache.
//!
//! QEMU 7.2 corrupts x86 guests under TCG now and then (wild pointers and double faults in 8 of 93
//! boots); 10.0 does not. The unpacked one runs with its own libraries and firmware, and with those
//! of the machine that it shares, so nothing of the system's changes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{
    Setup,
    apt::{self, Apt},
};
use crate::{
    arch::{QEMU_PACKAGE, QEMU_PROGRAM},
    cache::CacheLock,
    exec,
    say::say,
};

/// The oldest major version that runs guests faithfully.
const OLDEST: u32 = 10;

/// Names a QEMU of the developer's choice.
const VARIABLE: &str = "ISOL_TRACE_QEMU";

/// Its folder below the cache.
const FOLDER: &str = "qemu";

/// An emulator that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    program: PathBuf,
    /// The folder it was unpacked to, if it is ours.
    unpacked: Option<PathBuf>,
    /// Its major version.
    pub(crate) major: u32,
}

impl Qemu {
    /// The command that starts it, knowing where its own libraries and firmware are.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.unpacked {
            prepare(&mut command, root);
        }
        command
    }
}

/// Gives an unpacked QEMU its libraries, modules and firmware.
fn prepare(command: &mut Command, root: &Path) {
    let folders = apt::library_folders();
    let modules = root.join(&folders[0]).join("qemu");
    let libraries = folders
        .map(|folder| root.join(folder).display().to_string())
        .join(":");
    command
        .env("LD_LIBRARY_PATH", libraries)
        .env("QEMU_MODULE_DIR", modules);
    for firmware in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(root.join(firmware));
    }
}

/// Whether nothing has to be fetched, as far as can be seen at a glance.
pub(super) fn is_there(setup: &Setup) -> bool {
    env::var_os(VARIABLE).is_some()
        || setup.cache.path(FOLDER).exists()
        || probe(QEMU_PROGRAM.into(), None).is_ok_and(|qemu| qemu.major >= OLDEST)
}

/// Finds a QEMU that is new enough, or gets one.
pub(super) fn ensure(setup: &Setup) -> Result<Qemu> {
    if let Some(named) = env::var_os(VARIABLE) {
        return named_by_developer(named.into());
    }
    let installed = probe(QEMU_PROGRAM.into(), None).ok();
    if let Some(qemu) = installed.clone().filter(|qemu| qemu.major >= OLDEST) {
        return Ok(qemu);
    }
    if let Ok(qemu) = cached(setup) {
        return Ok(qemu);
    }
    let lock = setup.cache.lock()?;
    if let Ok(qemu) = cached(setup) {
        return Ok(qemu);
    }
    match (fetch(setup, &lock), installed) {
        (Ok(()), _) => cached(setup),
        (Err(error), Some(old)) => {
            say(format!(
                "setup: {error:#}\nsetup: using the installed QEMU {}: versions before {OLDEST} \
                 corrupt guests now and then, so a strange panic may be the emulator's",
                old.major
            ));
            Ok(old)
        }
        (Err(error), None) => Err(error),
    }
}

/// The developer's choice, whatever its version.
fn named_by_developer(program: PathBuf) -> Result<Qemu> {
    let qemu = probe(program, None).with_context(|| format!("{VARIABLE} names no QEMU"))?;
    if qemu.major < OLDEST {
        say(format!(
            "setup: QEMU {} is older than {OLDEST}: a strange panic may be the emulator's",
            qemu.major
        ));
    }
    Ok(qemu)
}

/// The one in the cache, if it still runs.
fn cached(setup: &Setup) -> Result<Qemu> {
    let root = setup.cache.path(FOLDER);
    probe(root.join("usr/bin").join(QEMU_PROGRAM), Some(root))
}

/// Asks a QEMU for its version.
fn probe(program: PathBuf, unpacked: Option<PathBuf>) -> Result<Qemu> {
    let mut qemu = Qemu {
        program,
        unpacked,
        major: 0,
    };
    let said = exec::output(qemu.command().arg("--version"))?;
    qemu.major = major(&said).with_context(|| format!("no version in `{said}`"))?;
    Ok(qemu)
}

/// Fetches Debian's QEMU and the libraries of it that the machine lacks.
fn fetch(setup: &Setup, lock: &CacheLock) -> Result<()> {
    let machine = apt::machine(
        &format!("QEMU {OLDEST} or newer"),
        &format!("install {QEMU_PROGRAM} {OLDEST} or newer, or name it with {VARIABLE}"),
    )?;
    let apt = Apt::for_machine(&setup.cache, lock, &machine)?;
    let versions = apt.versions(QEMU_PACKAGE)?;
    let Some((version, suite)) = choose(&versions, &machine.codename) else {
        bail!(
            "Debian {} has no QEMU {OLDEST} or newer, nor have its backports; name one with {VARIABLE}",
            machine.codename
        );
    };
    say(format!(
        "setup: fetching QEMU {version} from {suite} (unpacked into the cache, nothing is installed)"
    ));
    let packages = apt.closure(&[QEMU_PACKAGE], &suite)?;
    setup.cache.install(lock, FOLDER, |target| {
        apt.unpack(&packages, target)?;
        let program = target.join("usr/bin").join(QEMU_PROGRAM);
        fs::metadata(&program)
            .with_context(|| format!("the package {QEMU_PACKAGE} has no program"))?;
        probe(program, Some(target.to_path_buf()))
            .context("the unpacked QEMU does not run on this machine")?;
        Ok(())
    })?;
    Ok(())
}

/// The version to take: the release's own before its backports.
fn choose(versions: &[(String, String)], codename: &str) -> Option<(String, String)> {
    let rank = |suite: &str| {
        let kind = suite.strip_prefix(codename)?;
        ["", "-security", "-backports"]
            .iter()
            .position(|known| *known == kind)
    };
    versions
        .iter()
        .filter(|(version, _)| package_major(version).is_some_and(|major| major >= OLDEST))
        .filter_map(|(version, suite)| Some((rank(suite)?, version, suite)))
        .min_by_key(|(rank, _, _)| *rank)
        .map(|(_, version, suite)| (version.clone(), suite.clone()))
}

/// The upstream major version of a Debian version.
fn package_major(version: &str) -> Option<u32> {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    upstream.split('.').next()?.parse().ok()
}

/// The major version in what `--version` prints.
fn major(said: &str) -> Option<u32> {
    let rest = said.lines().next()?.split_once("version ")?.1;
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"),
            Some(10)
        );
        assert_eq!(major("QEMU emulator version 7.2.18"), Some(7));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn the_releases_own_package_wins_if_new_enough() {
        let versions = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter()
                .map(|(version, suite)| ((*version).to_owned(), (*suite).to_owned()))
                .collect()
        };
        let trixie = versions(&[
            ("1:11.1.3+ds-1~bpo13+1", "trixie-backports"),
            ("1:10.0.13+ds-0+deb13u1", "trixie"),
        ]);
        assert_eq!(
            choose(&trixie, "trixie"),
            Some(("1:10.0.13+ds-0+deb13u1".into(), "trixie".into()))
        );
        let bookworm = versions(&[
            ("1:10.0.2+ds-2~bpo12+1", "bookworm-backports"),
            ("1:7.2+dfsg-7", "bookworm"),
        ]);
        assert_eq!(
            choose(&bookworm, "bookworm"),
            Some(("1:10.0.2+ds-2~bpo12+1".into(), "bookworm-backports".into()))
        );
        assert_eq!(choose(&trixie, "bookworm"), None);
    }
}
