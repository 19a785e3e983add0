//! Debian packages through a private apt configuration.
//!
//! Its sources name the machine's own mirror and the installed archive keyring, so signatures are
//! checked as ever; its lists, its cache and its downloads lie in our cache. Nothing of the system's
//! is written, and no privilege is needed.

mod sources;

use std::{
    collections::BTreeSet,
    env::consts::ARCH,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::sources::Machine;
use crate::{
    cache::{Cache, CacheLock, UNFINISHED},
    exec,
    say::say,
};

/// Releases that the guests' packages come from, besides the machine's own.
const GUEST_RELEASES: [&str; 2] = ["bookworm", "trixie"];

/// Written when the lists have been fetched.
const UPDATED: &str = "updated";

/// How long fetched lists are taken as they are.
const FRESH: Duration = Duration::from_mins(10);

/// Folders of libraries that Debian's packages for this machine have, below a root: those that are named by its
/// architecture (Debian Policy, 9.1.1).
pub(super) fn library_folders() -> [String; 2] {
    ["usr/lib", "lib"].map(|folder| format!("{folder}/{ARCH}-linux-gnu"))
}

/// Folders of headers, likewise.
pub(super) fn header_folders() -> [String; 2] {
    let common = "usr/include";
    [common.to_owned(), format!("{common}/{ARCH}-linux-gnu")]
}

/// Which packages count as installed when dependencies are worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installed {
    /// The machine's: what is unpacked will run on it.
    Machine,
    /// None: what is unpacked runs in a guest, or stands alone.
    Nothing,
}

/// One private apt configuration.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// For what runs in guests or stands alone: every release that has some of it.
    pub(crate) fn for_guests(cache: &Cache, lock: &CacheLock, machine: &Machine) -> Result<Self> {
        let suites = suites(
            GUEST_RELEASES
                .into_iter()
                .chain([machine.codename.as_str()]),
        );
        Self::open(cache, lock, "guests", machine, &suites, Installed::Nothing)
    }

    /// For what runs on this machine: its own release alone.
    pub(crate) fn for_machine(cache: &Cache, lock: &CacheLock, machine: &Machine) -> Result<Self> {
        let suites = suites([machine.codename.as_str()]);
        Self::open(cache, lock, "machine", machine, &suites, Installed::Machine)
    }

    /// Writes the configuration `name` for these suites and fetches their lists.
    fn open(
        cache: &Cache,
        _lock: &CacheLock,
        name: &str,
        machine: &Machine,
        suites: &BTreeSet<String>,
        installed: Installed,
    ) -> Result<Self> {
        let folder = cache.path("apt").join(name);
        for inside in ["sources", "lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(inside))?;
        }
        fs::write(
            folder.join("sources/isol-trace.sources"),
            machine.stanzas(suites),
        )?;
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), configuration(&folder, installed))?;
        let apt = Self { folder };
        if !apt.fresh() {
            apt.update()?;
        }
        Ok(apt)
    }

    /// Whether the lists were fetched a moment ago: one set-up asks for several packages.
    fn fresh(&self) -> bool {
        fs::metadata(self.folder.join(UPDATED))
            .and_then(|stamp| stamp.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age < FRESH))
    }

    /// Fetches the lists; a suite that the mirror lacks is said and passed over.
    fn update(&self) -> Result<()> {
        say("setup: fetching package lists (private apt configuration, the system's is untouched)");
        let log = self.folder.join("update.log");
        if let Err(error) = exec::logged(
            "package lists",
            self.apt("apt-get").args(["-q", "update"]),
            &log,
        ) {
            let have_some = fs::read_dir(self.folder.join("lists"))?
                .filter_map(Result::ok)
                .any(|entry| entry.file_name().to_string_lossy().ends_with("_Packages"));
            if !have_some {
                return Err(error.context("no package list could be fetched"));
            }
            say(format!(
                "setup: some package lists could not be fetched; see {}",
                log.display()
            ));
        }
        fs::write(self.folder.join(UPDATED), "")?;
        Ok(())
    }

    /// A command of apt's under this configuration.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("LC_ALL", "C")
            .arg("-c")
            .arg(self.folder.join("apt.conf"));
        command
    }

    /// The names of all packages whose name matches the regular expression `pattern`.
    pub(crate) fn search(&self, pattern: &str) -> Result<Vec<String>> {
        let found = exec::output(
            self.apt("apt-cache")
                .args(["search", "--names-only", pattern]),
        )?;
        Ok(found
            .lines()
            .filter_map(|line| line.split(" - ").next())
            .map(str::to_owned)
            .collect())
    }

    /// The versions of `package` with the suite of each, the newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<(String, String)>> {
        let table = exec::output(self.apt("apt-cache").args(["madison", package]))?;
        Ok(parse_madison(&table))
    }

    /// What installing `packages` from `suite` would add to the machine, as `name=version`.
    pub(crate) fn closure(&self, packages: &[&str], suite: &str) -> Result<Vec<String>> {
        let plan = exec::output(
            self.apt("apt-get")
                .args([
                    "--simulate",
                    "--no-install-recommends",
                    "--option=Debug::NoLocking=1",
                    "--target-release",
                    suite,
                    "install",
                ])
                .args(packages),
        )?;
        let wanted = packages.join(" ");
        let packages = parse_simulation(&plan);
        if packages.is_empty() {
            bail!("apt plans nothing to fetch for {wanted} from {suite}:\n{plan}");
        }
        Ok(packages)
    }

    /// Downloads packages (`name` or `name=version`) and unpacks them all into `target`.
    pub(crate) fn unpack(&self, packages: &[String], target: &Path) -> Result<()> {
        let downloads = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder)?;
        let log = self.folder.join("download.log");
        exec::logged(
            "packages",
            self.apt("apt-get")
                .args(["-q", "download"])
                .args(packages)
                .current_dir(downloads.path()),
            &log,
        )?;
        let mut count = 0;
        for entry in fs::read_dir(downloads.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                exec::output(
                    Command::new("dpkg-deb")
                        .arg("--extract")
                        .arg(&path)
                        .arg(target),
                )?;
                count += 1;
            }
        }
        if count != packages.len() {
            bail!(
                "asked apt for {} packages and found {count}",
                packages.len()
            );
        }
        Ok(())
    }
}

/// The suites of these releases.
fn suites<'a>(releases: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    releases
        .into_iter()
        .flat_map(|release| ["", "-security", "-backports"].map(|kind| format!("{release}{kind}")))
        .collect()
}

/// The Debian machine we run on, or the sentence that says what to do elsewhere.
pub(crate) fn machine(wanted: &str, elsewhere: &str) -> Result<Machine> {
    Machine::detect().with_context(|| {
        format!("{wanted} comes from Debian's packages; without them: {elsewhere}")
    })
}

/// The text of `apt.conf`.
fn configuration(folder: &Path, installed: Installed) -> String {
    let folder = folder.display();
    let mut text = format!(
        "Dir::Etc::SourceList \"/dev/null\";\n\
         Dir::Etc::SourceParts \"{folder}/sources\";\n\
         Dir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"/dev/null\";\n\
         Dir::State::Lists \"{folder}/lists\";\n\
         Dir::Cache \"{folder}\";\n\
         Dir::Cache::Archives \"{folder}/archives\";\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\n\
         #clear APT::Update;\n\
         #clear Acquire::IndexTargets;\n\
         Acquire::IndexTargets::deb::Packages {{\n\
         MetaKey \"$(COMPONENT)/binary-$(ARCHITECTURE)/Packages\";\n\
         flatMetaKey \"Packages\";\n\
         ShortDescription \"Packages\";\n\
         Description \"$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages\";\n\
         Optional \"0\";\n}};\n"
    );
    if installed == Installed::Nothing {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Dir::State::Status \"{folder}/status\";");
    }
    text
}

/// Versions and suites of `apt-cache madison`'s table.
fn parse_madison(table: &str) -> Vec<(String, String)> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let version = fields.nth(1)?;
            let source = fields.next()?;
            if !source.ends_with("Packages") {
                return None;
            }
            let suite = source.split_whitespace().nth(1)?.split('/').next()?;
            Some((version.to_owned(), suite.to_owned()))
        })
        .collect()
}

/// What `apt-get --simulate install` would install, as `name=version`.
fn parse_simulation(plan: &str) -> Vec<String> {
    plan.lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
            let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
            Some(format!("{name}={version}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn madison_is_read() {
        let table = " qemu-system-x86 | 1:10.0.2+ds-2~bpo12+1 | http://m/debian bookworm-backports/main amd64 Packages\n \
             qemu-system-x86 | 1:7.2+dfsg-7 | http://m/debian bookworm/main amd64 Packages\n       \
             qemu | 1:7.2+dfsg-7 | http://m/debian bookworm/main Sources\n";
        assert_eq!(
            parse_madison(table),
            [
                (
                    "1:10.0.2+ds-2~bpo12+1".to_owned(),
                    "bookworm-backports".to_owned()
                ),
                ("1:7.2+dfsg-7".to_owned(), "bookworm".to_owned()),
            ]
        );
        assert_eq!(parse_madison(""), []);
    }

    #[test]
    fn a_simulated_installation_is_read() {
        let plan = "Reading package lists...\n\
            Inst seabios (1.16.3-2~bpo12+1 Debian Backports:oldstable-backports [all])\n\
            Inst libusb-1.0-0 [2:1.0.25-1] (2:1.0.26-1 Debian:12.15/oldstable [amd64])\n\
            Conf seabios (1.16.3-2~bpo12+1 Debian Backports:oldstable-backports [all])\n";
        assert_eq!(
            parse_simulation(plan),
            ["seabios=1.16.3-2~bpo12+1", "libusb-1.0-0=2:1.0.26-1"]
        );
    }

    #[test]
    fn the_status_is_the_machines_only_where_asked() {
        let text = |installed| configuration(Path::new("/c"), installed);
        assert!(text(Installed::Nothing).contains("Dir::State::Status"));
        assert!(!text(Installed::Machine).contains("Dir::State::Status"));
        assert!(text(Installed::Machine).contains("SourceParts \"/c/sources\""));
    }
}
