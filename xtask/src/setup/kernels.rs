//! The kernels that guests boot: stock Debian packages by line, or the developer's own by path.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    Setup,
    apt::{self, Apt},
};
use crate::{
    arch::{IMAGE_IN_TREE, PACKAGE_SUFFIX},
    cache::{CacheLock, UNFINISHED},
    say::say,
};

/// A kernel line: the newest package of one version series and flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// What the developer calls it.
    pub(crate) name: &'static str,
    series: &'static str,
    flavour: &'static str,
}

/// The lines that the tests run on.
pub(crate) const LINES: [Line; 5] = [
    Line::new("6.1", "6.1", "cloud"),
    Line::new("6.12", "6.12", "cloud"),
    Line::new("6.12-rt", "6.12", "rt"),
    Line::new("6.18", "6.18", "cloud"),
    Line::new("7.2", "7.2", "cloud"),
];

/// Modules of the result channel, in the order to load them (virtio breaks its queues through
/// `virtio_ring`: 6.1, drivers/virtio/virtio.c); a kernel that has one built in has no
/// file of it.
const CHANNEL_MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_console",
];

impl Line {
    const fn new(name: &'static str, series: &'static str, flavour: &'static str) -> Self {
        Self {
            name,
            series,
            flavour,
        }
    }

    /// The regular expression that finds its packages.
    fn pattern(self) -> String {
        let series = self.series.replace('.', "\\.");
        format!(
            "^linux-(image|binary)-{series}\\.[0-9].*-{}{PACKAGE_SUFFIX}$",
            self.flavour
        )
    }
}

/// A kernel to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelImage {
    /// How it is spoken of: its line, or its path.
    pub(crate) name: String,
    /// The package it came from, where it came from one.
    pub(crate) package: Option<String>,
    /// The image.
    pub(crate) image: PathBuf,
    /// Modules to load first, in order.
    pub(crate) modules: Vec<PathBuf>,
}

impl KernelImage {
    /// One that comes from no package, and has everything built in.
    pub(crate) fn of_ours(name: &str, image: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            package: None,
            image,
            modules: Vec::new(),
        }
    }
}

/// Finds the kernel, fetching it if it is a line that is not in the cache.
pub(super) fn ensure(setup: &Setup, line_or_path: &str) -> Result<KernelImage> {
    let Some(line) = LINES.iter().find(|line| line.name == line_or_path) else {
        return by_path(line_or_path);
    };
    let folder = setup.cache.path("kernels").join(line.name);
    if let Ok(image) = read(*line, &folder) {
        return Ok(image);
    }
    let lock = setup.cache.lock()?;
    if let Ok(image) = read(*line, &folder) {
        return Ok(image);
    }
    fetch(setup, &lock, *line)?;
    read(*line, &folder)
}

/// A kernel image, or the image of a built kernel tree.
fn by_path(name: &str) -> Result<KernelImage> {
    let path = Path::new(name);
    let image = if path.is_dir() {
        path.join(IMAGE_IN_TREE)
    } else {
        path.to_path_buf()
    };
    if !image.is_file() {
        let lines: Vec<&str> = LINES.iter().map(|line| line.name).collect();
        bail!(
            "no kernel `{name}`: it is neither a line ({}) nor an image, nor a built kernel tree",
            lines.join(", ")
        );
    }
    Ok(KernelImage::of_ours(name, image))
}

/// The kernel of `line` in the cache.
fn read(line: Line, folder: &Path) -> Result<KernelImage> {
    let package = fs::read_to_string(folder.join("package"))?;
    let modules = CHANNEL_MODULES
        .iter()
        .map(|name| folder.join(format!("{name}.ko")))
        .filter(|path| path.exists())
        .collect();
    Ok(KernelImage {
        name: line.name.to_owned(),
        package: Some(package),
        image: folder.join("vmlinuz"),
        modules,
    })
}

/// Fetches the newest package of `line`.
fn fetch(setup: &Setup, lock: &CacheLock, line: Line) -> Result<()> {
    let machine = apt::machine(
        &format!("the kernel line {}", line.name),
        "name a kernel of your own with `--kernel PATH`",
    )?;
    let apt = Apt::for_guests(&setup.cache, lock, &machine)?;
    let package = newest(apt.search(&line.pattern())?).with_context(|| {
        format!(
            "this machine's Debian mirror has no package of the kernel line {}; name a kernel of \
             your own with `--kernel PATH`",
            line.name
        )
    })?;
    say(format!("setup: fetching the kernel {package}"));
    let scratch = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(setup.cache.path(""))?;
    apt.unpack(std::slice::from_ref(&package), scratch.path())?;
    setup
        .cache
        .install(lock, &format!("kernels/{}", line.name), |target| {
            collect(scratch.path(), target).with_context(|| {
                format!("the package {package} holds no kernel we know how to boot")
            })?;
            fs::write(target.join("package"), &package)?;
            Ok(())
        })?;
    Ok(())
}

/// Moves the image and the channel's modules from an unpacked package into `target`.
fn collect(unpacked: &Path, target: &Path) -> Result<()> {
    let mut files = Vec::new();
    walk(unpacked, &mut files)?;
    let image = files
        .iter()
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })
        .context("no vmlinuz in it")?;
    fs::copy(image, target.join("vmlinuz"))?;
    for module in CHANNEL_MODULES {
        let plain = format!("{module}.ko");
        for path in &files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if *name == plain {
                fs::copy(path, target.join(&plain))?;
            } else if name.starts_with(&format!("{plain}.")) {
                bail!("its module {name} is compressed");
            }
        }
    }
    Ok(())
}

/// All files below `folder`.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The package with the highest version; of two alike the one that holds the image itself.
fn newest(packages: Vec<String>) -> Option<String> {
    packages
        .into_iter()
        .max_by_key(|name| (numbers(name), name.starts_with("linux-binary-")))
}

/// The numbers of a package's version, in order: `6.12.107+deb13` gives 6, 12, 107, 13.
fn numbers(name: &str) -> Vec<u64> {
    name.trim_end_matches(PACKAGE_SUFFIX)
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Option<String> {
        newest(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(
            of(&[
                "linux-image-6.12.95+deb12-cloud-amd64",
                "linux-image-6.12.107+deb13-cloud-amd64",
                "linux-image-6.12.90+deb12.1-cloud-amd64",
            ])
            .as_deref(),
            Some("linux-image-6.12.107+deb13-cloud-amd64")
        );
        assert_eq!(
            of(&[
                "linux-image-6.1.0-50-cloud-amd64",
                "linux-image-6.1.0-9-cloud-amd64"
            ])
            .as_deref(),
            Some("linux-image-6.1.0-50-cloud-amd64")
        );
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_package_with_the_image_wins() {
        for order in [[0, 1], [1, 0]] {
            let both = [
                "linux-image-7.2.12+deb13-cloud-amd64",
                "linux-binary-7.2.12+deb13-cloud-amd64",
            ];
            assert_eq!(
                of(&order.map(|index| both[index])).as_deref(),
                Some("linux-binary-7.2.12+deb13-cloud-amd64")
            );
        }
    }

    #[test]
    fn a_line_asks_for_its_own_packages_only() {
        let line = LINES.iter().find(|line| line.name == "6.1").unwrap();
        assert_eq!(
            line.pattern(),
            "^linux-(image|binary)-6\\.1\\.[0-9].*-cloud-amd64$"
        );
    }

    #[test]
    fn the_channels_modules_are_kept_in_loading_order() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = folder.path().join("unpacked");
        let target = folder.path().join("target");
        fs::create_dir_all(unpacked.join("boot")).unwrap();
        fs::create_dir_all(unpacked.join("lib/modules/x")).unwrap();
        fs::create_dir(&target).unwrap();
        for name in [
            "boot/vmlinuz-6.1",
            "lib/modules/x/virtio_console.ko",
            "lib/modules/x/virtio.ko",
            "lib/modules/x/virtio_net.ko",
        ] {
            fs::write(unpacked.join(name), name).unwrap();
        }
        collect(&unpacked, &target).unwrap();
        fs::write(target.join("package"), "linux-image-6.1").unwrap();
        let image = read(LINES[0], &target).unwrap();
        assert_eq!(
            image.modules,
            [target.join("virtio.ko"), target.join("virtio_console.ko")]
        );
        assert_eq!(fs::read_to_string(image.image).unwrap(), "boot/vmlinuz-6.1");
    }

    #[test]
    fn an_unknown_kernel_names_the_lines() {
        let error = by_path("5.4").unwrap_err().to_string();
        assert!(error.contains("6.12-rt"), "{error}");
    }
}
