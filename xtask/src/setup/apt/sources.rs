//! Where this machine gets Debian from: read from its own apt sources.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// A Debian machine's release, mirrors and archive keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its release, such as `bookworm`.
    pub(crate) codename: String,
    uri: String,
    security: Option<String>,
    keyring: PathBuf,
}

/// One line of sources: an address with the suites and components taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
}

impl Machine {
    /// Reads the machine's own configuration.
    pub(crate) fn detect() -> Result<Self> {
        Self::read(Path::new("/"))
    }

    /// Reads the configuration below `root`.
    fn read(root: &Path) -> Result<Self> {
        let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
        let codename = codename(&release).context("this machine is not Debian")?;
        let keyring = ["pgp", "gpg"]
            .map(|kind| root.join(format!("usr/share/keyrings/debian-archive-keyring.{kind}")))
            .into_iter()
            .find(|path| path.exists())
            .context("the package debian-archive-keyring is not installed")?;
        let sources = read_sources(&root.join("etc/apt"))?;
        let offers = |suite: &str| {
            sources
                .iter()
                .find(|source| {
                    source.suites.iter().any(|name| name == suite)
                        && source.components.iter().any(|name| name == "main")
                })
                .map(|source| source.uri.clone())
        };
        let Some(uri) = offers(&codename) else {
            bail!("no apt source of this machine offers {codename} main");
        };
        let security = offers(&format!("{codename}-security"));
        Ok(Self {
            codename,
            uri,
            security,
            keyring,
        })
    }

    /// The sources file for these suites; a security suite only where the machine has one itself.
    pub(crate) fn stanzas(&self, suites: &BTreeSet<String>) -> String {
        suites
            .iter()
            .filter_map(|suite| {
                let uri = if suite.ends_with("-security") {
                    self.security.as_ref()?
                } else {
                    &self.uri
                };
                Some(format!(
                    "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nSigned-By: {}\n\n",
                    self.keyring.display()
                ))
            })
            .collect()
    }
}

/// The release's name in `os-release`, if it is Debian's.
fn codename(os_release: &str) -> Option<String> {
    let field = |key: &str| {
        os_release.lines().find_map(|line| {
            let value = line.strip_prefix(key)?.strip_prefix('=')?;
            Some(value.trim_matches('"').to_owned())
        })
    };
    (field("ID")? == "debian")
        .then(|| field("VERSION_CODENAME"))
        .flatten()
}

/// All sources below `etc/apt`, in either format.
fn read_sources(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let list = folder.join("sources.list");
    if let Ok(text) = fs::read_to_string(&list) {
        sources.extend(text.lines().filter_map(parse_line));
    }
    let parts = folder.join("sources.list.d");
    let Ok(entries) = fs::read_dir(&parts) else {
        return Ok(sources);
    };
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => {
                sources.extend(fs::read_to_string(&path)?.lines().filter_map(parse_line));
            }
            Some("sources") => sources.extend(parse_deb822(&fs::read_to_string(&path)?)),
            _ => {}
        }
    }
    Ok(sources)
}

/// A line `deb [options] URI SUITE COMPONENT…`.
fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest
        .split('#')
        .next()?
        .split_whitespace()
        .map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
    })
}

/// The stanzas of a `.sources` file; see sources.list(5).
fn parse_deb822(text: &str) -> Vec<Source> {
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    without_comments
        .split(|line| line.trim().is_empty())
        .flat_map(parse_stanza)
        .collect()
}

/// One stanza: as many sources as it has addresses, none if it is off or offers no packages.
fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let field = |key: &str| {
        let start = lines.iter().position(|line| {
            line.split_once(':')
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case(key))
        })?;
        let first = lines[start].split_once(':')?.1;
        let more = lines[start + 1..]
            .iter()
            .take_while(|line| line.starts_with([' ', '\t']));
        let words: Vec<String> = std::iter::once(&first)
            .chain(more)
            .flat_map(|line| line.split_whitespace())
            .map(str::to_owned)
            .collect();
        Some(words)
    };
    let off = field("Enabled").is_some_and(|words| words.first().is_some_and(|word| word == "no"));
    let packages = field("Types").is_some_and(|words| words.iter().any(|word| word == "deb"));
    if off || !packages {
        return Vec::new();
    }
    field("URIs")
        .unwrap_or_default()
        .into_iter()
        .map(|uri| Source {
            uri,
            suites: field("Suites").unwrap_or_default(),
            components: field("Components").unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn suites(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    const RELEASE: (&str, &str) = (
        "etc/os-release",
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n",
    );
    const KEYRING: (&str, &str) = ("usr/share/keyrings/debian-archive-keyring.gpg", "");

    #[test]
    fn deb822_sources_are_read() {
        let root = tree(&[
            RELEASE,
            KEYRING,
            (
                "etc/apt/sources.list.d/debian.sources",
                "# a comment: with a colon\nTypes: deb\n# more\nURIs: http://mirror/debian\nSuites: bookworm\n bookworm-updates\n\
                 Components: main contrib\nSigned-By: /k\n\nTypes: deb\nURIs: http://mirror/security\n\
                 Suites: bookworm-security\nComponents: main\n",
            ),
        ]);
        let machine = Machine::read(root.path()).unwrap();
        assert_eq!(machine.uri, "http://mirror/debian");
        assert_eq!(machine.security.as_deref(), Some("http://mirror/security"));
        let text = machine.stanzas(&suites(&["bookworm", "trixie-security"]));
        assert_eq!(text.matches("Types: deb").count(), 2, "{text}");
        assert!(text.contains("URIs: http://mirror/security\nSuites: trixie-security"));
        assert!(text.contains("debian-archive-keyring.gpg"));
    }

    #[test]
    fn one_line_sources_are_read() {
        let root = tree(&[
            RELEASE,
            KEYRING,
            (
                "etc/apt/sources.list",
                "# deb http://old/debian bookworm main\n\
                 deb-src http://source/debian bookworm main\n\
                 deb [arch=amd64 signed-by=/k] http://mirror/debian bookworm main # ours\n",
            ),
        ]);
        let machine = Machine::read(root.path()).unwrap();
        assert_eq!(machine.uri, "http://mirror/debian");
        assert_eq!(machine.security, None);
        assert_eq!(machine.stanzas(&suites(&["trixie-security"])), "");
    }

    #[test]
    fn another_distribution_is_said() {
        let root = tree(&[("etc/os-release", "ID=fedora\nVERSION_CODENAME=\"\"\n")]);
        let error = Machine::read(root.path()).unwrap_err().to_string();
        assert!(error.contains("not Debian"), "{error}");
    }

    #[test]
    fn a_machine_without_its_own_suite_is_said() {
        let root = tree(&[
            RELEASE,
            KEYRING,
            (
                "etc/apt/sources.list.d/off.sources",
                "Enabled: no\nTypes: deb\nURIs: http://m\nSuites: bookworm\nComponents: main\n",
            ),
            (
                "etc/apt/sources.list.d/other.list",
                "deb http://other/debian sid main\n",
            ),
        ]);
        let error = Machine::read(root.path()).unwrap_err().to_string();
        assert!(error.contains("offers bookworm main"), "{error}");
    }
}
