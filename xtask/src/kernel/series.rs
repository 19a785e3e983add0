//! The patches in `kernel/`, and the sources that they are for.

use std::{
    fs,
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

    /// What a build of it depends on, save the source and the compiler, as a short word.
    pub(super) fn key(self, debug: bool) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        for path in self.patches()?.into_iter().chain(configs(debug)) {
            fs::read(&path)
                .with_context(|| path.display().to_string())?
                .hash(&mut hasher);
        }
        Ok(format!("{:016x}", hasher.finish()))
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
    fn what_a_build_depends_on_is_in_its_key() {
        let keys = [false, true].map(|debug| BASES[0].key(debug).unwrap());
        assert_ne!(keys[0], keys[1]);
    }
}
