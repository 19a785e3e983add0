//! The patches in `kernel/`, and the sources that they are for.

use std::{
    fmt, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};

use crate::setup::workspace;

/// A kernel that the series is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// Its version, and the name of its folder of patches.
    pub(crate) name: &'static str,
    /// Debian's package of its source.
    pub(super) package: &'static str,
    /// Whether it may be gone from the mirrors: backports keep only the newest kernels.
    pub(crate) may_lack: bool,
}

/// All of them.
pub(crate) const BASES: [Base; 2] = [
    Base {
        name: "6.12",
        package: "linux-source-6.12",
        may_lack: false,
    },
    Base {
        name: "7.3",
        package: "linux-source-7.3",
        may_lack: true,
    },
];

impl Base {
    /// Where its patches are.
    pub(super) fn folder(self) -> PathBuf {
        workspace().join("kernel/patches").join(self.name)
    }

    /// Its patches, in order.
    pub(super) fn patches(self) -> Result<Vec<PathBuf>> {
        let folder = self.folder();
        let mut patches = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "patch") {
                patches.push(path);
            }
        }
        patches.sort_unstable();
        ensure!(!patches.is_empty(), "no patches in {}", folder.display());
        Ok(patches)
    }
}

/// A kernel to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// From whose source.
    pub(crate) base: Base,
    /// Without the series, to compare with; the configuration is the same.
    pub(crate) stock: bool,
    /// With everything that checks locks, RCU and entry code.
    pub(crate) debug: bool,
}

impl Recipe {
    /// The kernel with the series that is meant to be used.
    pub(super) const fn release(base: Base) -> Self {
        Self {
            base,
            stock: false,
            debug: false,
        }
    }

    /// Its patches, in order.
    pub(super) fn patches(self) -> Result<Vec<PathBuf>> {
        if self.stock {
            return Ok(Vec::new());
        }
        self.base.patches()
    }

    /// Where in the cache it is: named by what it depends on, save the source and the compiler.
    pub(super) fn folder(self) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        for path in self.patches()?.into_iter().chain(configs(self.debug)) {
            fs::read(&path)
                .with_context(|| path.display().to_string())?
                .hash(&mut hasher);
        }
        let stock = if self.stock { "-stock" } else { "" };
        let debug = if self.debug { "-debug" } else { "" };
        let key = hasher.finish();
        Ok(format!(
            "isolation/{}{stock}{debug}-{key:016x}",
            self.base.name
        ))
    }
}

/// For people.
impl fmt::Display for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.stock { "without" } else { "with" };
        let kind = if self.debug { ", checking itself" } else { "" };
        write!(formatter, "{} {with} the series{kind}", self.base.name)
    }
}

/// The configuration, as fragments upon the smallest one.
pub(super) fn configs(debug: bool) -> Vec<PathBuf> {
    let names: &[&str] = if debug {
        &["isolation.config", "debug.config"]
    } else {
        &["isolation.config"]
    };
    let folder = workspace().join("kernel/config");
    names.iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_has_numbered_patches_and_each_signs_off() {
        for base in BASES {
            for (number, path) in (1..).zip(base.patches().unwrap()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(name.starts_with(&format!("{number:04}-")), "{name}");
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.contains("\nSigned-off-by: "), "{name}");
            }
        }
    }

    #[test]
    fn every_kernel_has_a_folder_of_its_own() {
        let mut folders: Vec<_> = BASES
            .into_iter()
            .flat_map(|base| {
                [(false, false), (false, true), (true, false), (true, true)]
                    .map(|(stock, debug)| Recipe { base, stock, debug })
            })
            .map(|recipe| recipe.folder().unwrap())
            .collect();
        let all = folders.len();
        folders.sort_unstable();
        folders.dedup();
        assert_eq!(folders.len(), all);
    }
}
