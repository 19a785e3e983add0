//! The initramfs of a guest: which files are packed into its root, and where each of them goes.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use isol_trace_guest::boot::{PLAN, Plan};

use super::cpio::Archive;
use crate::{build::Programs, setup::Busybox};

/// The guest's folder for kernel modules.
const MODULES: &str = "/lib/modules";

/// A file to add: its path on this machine, and its path in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    from: PathBuf,
    to: String,
}

impl Extra {
    /// `from` is a file on this machine, `to` its absolute path in the guest.
    pub(crate) fn new(from: PathBuf, to: &str) -> Self {
        Self {
            from,
            to: to.to_owned(),
        }
    }

    /// Reads `FILE[:DEST]`; without DEST the file goes to the guest's `/root`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (from, to) = match text.split_once(':') {
            Some((from, to)) if to.starts_with('/') => (from, Some(to.to_owned())),
            Some((_, to)) => return Err(format!("`{to}` is not an absolute path of the guest")),
            None => (text, None),
        };
        let from = PathBuf::from(from);
        let name = from
            .file_name()
            .ok_or_else(|| format!("`{text}` names no file"))?
            .to_string_lossy()
            .into_owned();
        let to = match to {
            Some(folder) if folder.ends_with('/') => format!("{folder}{name}"),
            Some(path) => path,
            None => format!("/root/{name}"),
        };
        Ok(Self { from, to })
    }
}

/// The path in the guest of a module that is a file on this machine.
pub(crate) fn module_path(module: &Path) -> String {
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    format!("{MODULES}/{name}")
}

/// Writes the initramfs to `target`.
pub(crate) fn write(
    target: &Path,
    programs: &Programs,
    busybox: &Busybox,
    modules: &[PathBuf],
    extras: &[Extra],
    plan: &Plan,
) -> Result<()> {
    let file = File::create(target)
        .with_context(|| format!("cannot write the initramfs {}", target.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    for folder in ["/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/etc"] {
        archive.folder(folder)?;
    }
    // The kernel opens this device as init's standard input, output and error.
    archive.character_device("/dev/console", 5, 1)?;
    archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", false)?;
    archive.file("/etc/group", b"root:x:0:\n", false)?;
    archive.file(PLAN, &serde_json::to_vec(plan)?, false)?;
    add(&mut archive, &busybox.program, "/bin/busybox")?;
    for applet in &busybox.applets {
        let taken = applet == "busybox" || programs.guest.iter().any(|(name, _)| name == applet);
        if !taken {
            archive.symlink(&format!("/bin/{applet}"), "busybox")?;
        }
    }
    for (name, path) in &programs.guest {
        let to = if name == "init" {
            "/init".to_owned()
        } else {
            format!("/bin/{name}")
        };
        add(&mut archive, path, &to)?;
    }
    for module in modules {
        add(&mut archive, module, &module_path(module))?;
    }
    for extra in extras {
        add(&mut archive, &extra.from, &extra.to)?;
    }
    archive.finish()?;
    Ok(())
}

/// Adds a file of this machine. It is executable in the guest if it is executable here.
fn add(archive: &mut Archive<BufWriter<File>>, from: &Path, to: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata =
        fs::metadata(from).with_context(|| format!("cannot give the guest {}", from.display()))?;
    if !metadata.is_file() {
        bail!("cannot give the guest {}: it is no file", from.display());
    }
    let content = fs::read(from)?;
    archive.file(to, &content, metadata.permissions().mode() & 0o111 != 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_to_add_are_read() {
        let to = |text: &str| Extra::parse(text).map(|extra| extra.to);
        assert_eq!(to("a/b.txt").as_deref(), Ok("/root/b.txt"));
        assert_eq!(to("a/b.txt:/x/y").as_deref(), Ok("/x/y"));
        assert_eq!(to("a/b.txt:/x/").as_deref(), Ok("/x/b.txt"));
        assert!(to("a/b.txt:x").is_err());
        assert!(to("").is_err());
    }
}
