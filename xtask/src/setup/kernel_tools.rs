//! What building a kernel takes besides a C compiler: the machine's own programs where it has them,
//! else Debian's, unpacked into the cache. Nothing is installed.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Setup,
    apt::{self, Apt},
};
use crate::{exec, say::say};

/// Programs that a build runs, each with Debian's package of it.
const PROGRAMS: [(&str, &str); 8] = [
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("pahole", "dwarves"),
    ("patch", "patch"),
    ("xz", "xz-utils"),
    ("cpio", "cpio"),
];

/// A header that the build's own programs include (objtool, `resolve_btfids`), with its package.
const HEADER: (&str, &str) = ("usr/include/gelf.h", "libelf-dev");

/// What compiles the kernel. It is no program that can be unpacked and run as it is.
pub(crate) const COMPILER: &str = "gcc";

/// Their folder below the cache.
const FOLDER: &str = "kernel-tools";

/// Folders of programs, below a root.
const PROGRAM_FOLDERS: [&str; 2] = ["usr/bin", "bin"];

/// Programs and headers for building a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelTools {
    /// The folder that holds what the machine lacks; none where it lacks nothing.
    unpacked: Option<PathBuf>,
}

impl KernelTools {
    /// The command made to find the unpacked programs, their libraries and their data.
    pub(crate) fn apply<'command>(&self, command: &'command mut Command) -> &'command mut Command {
        let Some(root) = &self.unpacked else {
            return command;
        };
        command
            .env("PATH", before(root, &PROGRAM_FOLDERS, "PATH"))
            .env(
                "LD_LIBRARY_PATH",
                before(root, &apt::library_folders(), "LD_LIBRARY_PATH"),
            );
        // Bison's skeletons and the macro processor of bison and flex are named by absolute paths
        // in their programs; these variables name others.
        let skeletons = root.join("usr/share/bison");
        if skeletons.is_dir() {
            command.env("BISON_PKGDATADIR", skeletons);
        }
        let macros = root.join("usr/bin/m4");
        if macros.is_file() {
            command.env("M4", macros);
        }
        command
    }

    /// The compiler of the build's own programs, as `make` takes it. The unpacked headers are
    /// looked for after the machine's, and only there: the kernel itself includes none of them.
    pub(crate) fn host_compiler(&self) -> String {
        let mut words = vec![COMPILER.to_owned()];
        if let Some(root) = &self.unpacked {
            for folder in apt::header_folders() {
                words.push(format!("-idirafter {}", root.join(folder).display()));
            }
            for folder in apt::library_folders() {
                words.push(format!("-L{}", root.join(folder).display()));
            }
        }
        words.join(" ")
    }
}

/// Finds them, or gets what the machine lacks.
pub(super) fn ensure(setup: &Setup) -> Result<KernelTools> {
    ensure!(
        exec::is_installed(COMPILER),
        "there is no `{COMPILER}` here (Debian: gcc libc6-dev)"
    );
    let missing = missing(exec::is_installed, |header| {
        Path::new("/").join(header).is_file()
    });
    if missing.is_empty() {
        return Ok(KernelTools { unpacked: None });
    }
    let root = setup.cache.path(FOLDER);
    let unpacked = KernelTools {
        unpacked: Some(root.clone()),
    };
    if holds(&root, &missing) {
        return Ok(unpacked);
    }
    let lock = setup.cache.lock()?;
    if holds(&root, &missing) {
        return Ok(unpacked);
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let names = packages.join(" ");
    let machine = apt::machine(&names, &format!("install {names}"))?;
    let apt = Apt::for_machine(&setup.cache, &lock, &machine)?;
    say(format!(
        "setup: fetching {names} for building kernels (unpacked into the cache, nothing is installed)"
    ));
    let closure = apt.closure(&packages, &machine.codename)?;
    setup.cache.install(&lock, FOLDER, |target| {
        apt.unpack(&closure, target)?;
        for folder in apt::library_folders() {
            repair_links(&target.join(&folder), &Path::new("/").join(&folder))?;
        }
        for tool in &missing {
            ensure!(
                tool.is_in(target),
                "the package {} has no {}",
                tool.package,
                tool.file
            );
        }
        Ok(())
    })?;
    Ok(unpacked)
}

/// Something that the machine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    /// The program's name, or the header's path below a root.
    file: &'static str,
    /// Debian's package of it.
    package: &'static str,
}

impl Missing {
    /// Whether a root has it.
    fn is_in(self, root: &Path) -> bool {
        root.join(self.file).is_file()
            || PROGRAM_FOLDERS
                .iter()
                .any(|folder| root.join(folder).join(self.file).is_file())
    }
}

/// What is not there.
fn missing(has_program: impl Fn(&str) -> bool, has_header: impl Fn(&str) -> bool) -> Vec<Missing> {
    let programs = PROGRAMS
        .into_iter()
        .filter(|(program, _)| !has_program(program));
    let header = Some(HEADER).filter(|(header, _)| !has_header(header));
    programs
        .chain(header)
        .map(|(file, package)| Missing { file, package })
        .collect()
}

fn holds(root: &Path, missing: &[Missing]) -> bool {
    missing.iter().all(|tool| tool.is_in(root))
}

/// A list of folders for a variable: those below the root before what the environment has.
fn before(root: &Path, folders: &[impl AsRef<Path>], variable: &str) -> OsString {
    let mut list: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    if let Some(inherited) = env::var_os(variable).filter(|inherited| !inherited.is_empty()) {
        list.extend(env::split_paths(&inherited));
    }
    // Only a name with a colon in it cannot be joined; the root is then of no use anyway.
    env::join_paths(list).unwrap_or_default()
}

/// Points links of an unpacked folder that lead nowhere to the machine's file of that name: a
/// package for development links to a library of another package, which the machine may have.
fn repair_links(folder: &Path, machines: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    for entry in entries {
        let link = entry?.path();
        let (Ok(target), false) = (fs::read_link(&link), link.exists()) else {
            continue;
        };
        let Some(there) = target.file_name().map(|name| machines.join(name)) else {
            continue;
        };
        if there.exists() {
            fs::remove_file(&link)?;
            std::os::unix::fs::symlink(&there, &link)
                .with_context(|| link.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_a_compiler_alone_lacks_each_of_them() {
        let packages: Vec<_> = missing(|_| false, |_| false)
            .iter()
            .map(|tool| tool.package)
            .collect();
        assert_eq!(
            packages.join(" "),
            "make flex bison bc dwarves patch xz-utils cpio libelf-dev"
        );
        assert_eq!(missing(|_| true, |_| true), []);
        let header_alone = missing(|_| true, |_| false);
        assert_eq!(
            header_alone,
            [Missing {
                file: HEADER.0,
                package: HEADER.1
            }]
        );
    }

    #[test]
    fn the_build_finds_what_was_unpacked() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/share/bison")).unwrap();
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs::write(root.path().join("usr/bin/m4"), "").unwrap();
        let tools = KernelTools {
            unpacked: Some(root.path().to_path_buf()),
        };
        let mut command = Command::new("make");
        tools.apply(&mut command);
        let variable = |name: &str| {
            command
                .get_envs()
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| value)
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        let inside = |path: &str| root.path().join(path).display().to_string();
        assert!(variable("PATH").starts_with(&inside("usr/bin")));
        assert!(
            variable("PATH").ends_with(&env::var("PATH").unwrap()),
            "the machine's own programs stay"
        );
        assert!(variable("LD_LIBRARY_PATH").starts_with(&inside("usr/lib/x86_64-linux-gnu")));
        assert_eq!(variable("BISON_PKGDATADIR"), inside("usr/share/bison"));
        assert_eq!(variable("M4"), inside("usr/bin/m4"));
        assert!(
            tools
                .host_compiler()
                .contains(&format!("-idirafter {}", inside("usr/include")))
        );
    }

    #[test]
    fn a_machine_that_lacks_nothing_is_left_as_it_is() {
        let tools = KernelTools { unpacked: None };
        let mut command = Command::new("make");
        tools.apply(&mut command);
        assert_eq!(command.get_envs().count(), 0);
        assert_eq!(tools.host_compiler(), "gcc");
    }

    #[test]
    fn a_link_to_a_library_of_the_machine_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, machines) = (folder.path().join("ours"), folder.path().join("machine"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&machines).unwrap();
        fs::write(machines.join("libelf.so.1"), "machine").unwrap();
        fs::write(ours.join("libz.so.1"), "ours").unwrap();
        let link = |name: &str, target: &str| {
            std::os::unix::fs::symlink(target, ours.join(name)).unwrap();
        };
        link("libelf.so", "libelf.so.1");
        link("libz.so", "libz.so.1");
        link("libgone.so", "libgone.so.1");
        repair_links(&ours, &machines).unwrap();
        let read = |name: &str| fs::read_to_string(ours.join(name));
        assert_eq!(read("libelf.so").unwrap(), "machine");
        assert_eq!(read("libz.so").unwrap(), "ours");
        read("libgone.so").unwrap_err();
        repair_links(&folder.path().join("none"), &machines).unwrap();
    }
}
