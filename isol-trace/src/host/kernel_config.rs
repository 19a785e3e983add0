//! How the kernel was built, where it says so.

use std::{collections::BTreeMap, fs::File, io::Read as _};

use flate2::read::GzDecoder;

use super::{Host, reading::Reading};

/// The most that is read of a packed configuration: real ones have 300 KiB.
const MOST: u64 = 8 << 20;

/// The options that a kernel was built with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, String>,
}

impl KernelConfig {
    /// Reads a configuration; `None` where it holds no option.
    fn parse(text: &str) -> Option<Self> {
        let options: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        (!options.is_empty()).then_some(Self { options })
    }

    /// Whether an option is built in; the name comes without `CONFIG_`.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }
}

impl Host {
    /// Reads the configuration of the kernel that runs: where distributions leave it, or else
    /// from the kernel itself (`CONFIG_IKCONFIG_PROC`).
    pub fn kernel_config(&self, release: &str) -> Reading<KernelConfig> {
        self.reading(&format!("/boot/config-{release}"), KernelConfig::parse)
            .or_else(|| {
                let path = format!("/lib/modules/{release}/config");
                self.reading(&path, KernelConfig::parse)
            })
            .or_else(|| self.packed_config())
    }

    fn packed_config(&self) -> Reading<KernelConfig> {
        let path = "/proc/config.gz";
        let Ok(file) = File::open(self.path(path)) else {
            return Reading::Absent;
        };
        let mut text = String::new();
        match GzDecoder::new(file).take(MOST).read_to_string(&mut text) {
            Ok(_) => KernelConfig::parse(&text).map_or_else(
                || Reading::Unreadable(format!("{path} holds no kernel configuration")),
                Reading::Known,
            ),
            Err(error) => Reading::Unreadable(format!("cannot read {path}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::host::tests::Tree;

    const TEXT: &str =
        "#\n# Linux\n#\nCONFIG_NO_HZ_FULL=y\n# CONFIG_KSM is not set\nCONFIG_NET=m\n";

    #[test]
    fn plain_and_packed_ones_are_read() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(TEXT.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        for tree in [
            Tree::new().file("/boot/config-6.12.1", TEXT),
            Tree::new().file("/lib/modules/6.12.1/config", TEXT),
            Tree::new().bytes("/proc/config.gz", &packed),
        ] {
            let config = tree.host().kernel_config("6.12.1");
            let config = config.known().unwrap();
            assert!(config.has("NO_HZ_FULL"));
            assert!(!config.has("KSM") && !config.has("NET"));
        }
    }

    #[test]
    fn another_kernels_is_not_taken() {
        let tree = Tree::new().file("/boot/config-6.12.1", TEXT);
        assert_eq!(tree.host().kernel_config("6.12.2"), Reading::Absent);
        let tree = tree.bytes("/proc/config.gz", b"no gzip");
        let found = tree.host().kernel_config("6.12.2");
        assert!(matches!(found, Reading::Unreadable(why) if why.contains("/proc/config.gz")));
    }
}
