//! What is isolated on this host, and what it lets us do.
//!
//! Every reader goes through [`Host`], which knows where the file system begins:
//! tests give it a recorded tree. Parsing is pure and apart from reading.
//!
//! - [`cpu_list`] and [`cpu_mask`]: sets of CPUs, and the kernel's formats for them;
//! - [`reading`]: files that not every host has;
//! - [`sysfs`]: which CPUs there are and which the kernel was booted to isolate;
//! - [`cpuset`]: which CPUs cgroup v2 isolates;
//! - [`watched`]: the watched CPUs, the housekeeping CPUs and those of the tracer itself;
//! - [`detection`]: how the entries of a CPU are found;
//! - [`privilege`] and [`kernel`]: whether probes may be, and can be, loaded;
//! - [`process`]: the processes and threads that `--pid` names;
//! - `process_dir`: the directory of one of them, held open;
//! - [`identity`]: the names of host and kernel;
//! - [`interrupts`]: the kernel's own interrupt counters;
//! - [`descriptors`]: how many files this process may open;
//! - [`stack`]: how far the stack of the first thread may grow;
//! - [`streams`]: stdin and stdout, which may be closed;
//! - [`affinity`]: keeping ourselves off the watched CPUs;
//! - [`boot`], [`kernel_config`] and [`release`]: what was booted, and how it was built;
//! - [`device_irq`], [`workqueue`], [`memory`], [`scheduler`], [`topology`], [`clocksource`] and
//!   [`rights`]: settings that `doctor` judges.
//!
//! No reader touches a file whose reading disturbs other CPUs: not `/proc/cpuinfo`, not
//! `scaling_cur_freq`, no MSR, not `/proc/sys/vm/stat_refresh`, not `sched_rt_runtime_us`. What reading
//! each file does is in `docs/files.md`, and a test that reads another one fails.

pub mod affinity;
pub mod boot;
pub mod clocksource;
pub mod cpu_list;
pub mod cpu_mask;
pub mod cpuset;
pub mod descriptors;
pub mod detection;
pub mod device_irq;
pub mod follow;
pub mod identity;
pub mod interrupts;
pub mod kernel;
pub mod kernel_config;
pub mod memory;
pub mod privilege;
pub mod process;
pub(crate) mod process_dir;
pub mod reading;
pub mod release;
pub mod rights;
pub mod scheduler;
pub mod stack;
pub mod streams;
pub mod sysfs;
pub mod topology;
pub mod watched;
pub mod workqueue;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cpu_list::CpuListError;

/// Tests: reads `/sys` and `/proc` below this folder instead of below `/`.
const ROOT_VARIABLE: &str = "ISOL_TRACE_ROOT";

/// The files of a host, live or recorded.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// A file of the host that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It is not there.
    #[error("{path} is missing: isol-trace needs /proc and /sys mounted", path = path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not hold what the kernel writes there.
    #[error("{path} holds no CPU list: {source}", path = path.display())]
    CpuList {
        /// Which.
        path: PathBuf,
        /// Why.
        source: CpuListError,
    },
    /// It lacks a line or has one that cannot be read.
    #[error("{path} has no readable {line}", path = path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// The line that was looked for.
        line: &'static str,
    },
}

impl Host {
    /// The host whose `/sys` and `/proc` are found below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The host that this process runs on, or the recorded one that a test names in
    /// the environment.
    #[must_use]
    pub fn of_this_process() -> Self {
        match std::env::var_os(ROOT_VARIABLE) {
            Some(root) if !runs_with_more_rights_than_its_caller() => Self::new(root),
            _ => Self::new("/"),
        }
    }

    /// Whether this is the machine that the process runs on, and no recorded one.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where an absolute path of this host is found.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        #[cfg(test)]
        tests::require_listed(path);
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file, `None` if it is not there.
    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        let path = self.path(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(source) if is_absent(&source) => Ok(None),
            Err(source) => Err(HostError::Unreadable { path, source }),
        }
    }

    /// The text of a file that every kernel has.
    fn read_required(&self, path: &str) -> Result<String, HostError> {
        self.read(path)?.ok_or_else(|| HostError::Missing {
            path: self.path(path),
        })
    }
}

/// A file that is not there, or whose process has gone while it was read.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether the kernel started this program with rights that its caller lacks (set-user-id
/// or file capabilities): its environment is then not to be trusted with paths.
fn runs_with_more_rights_than_its_caller() -> bool {
    // SAFETY: takes a number, returns a number, touches no memory of ours.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(test)]
#[path = "../../tests/tree/mod.rs"]
mod tree;

#[cfg(test)]
#[path = "../../tests/table/mod.rs"]
mod table;

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    pub(crate) use super::tree::Tree;
    use super::{table::Table, *};

    /// Fails where `docs/files.md` lacks a file: nobody has looked then what reading it does.
    pub(super) fn require_listed(path: &str) {
        static TABLE: LazyLock<Table> = LazyLock::new(Table::of_the_page);
        assert!(
            path == "/" || TABLE.allows(path),
            "docs/files.md does not have {path}: read the kernel's function behind it before it is added"
        );
    }

    #[test]
    #[should_panic(expected = "docs/files.md does not have /proc/sys/vm/stat_refresh")]
    fn a_file_that_is_in_no_table_fails_the_test_that_reads_it() {
        let _ = Host::new("/nowhere").read("/proc/sys/vm/stat_refresh");
    }

    /// A recorded host of `tests/host`.
    pub(crate) fn recorded(kind: &str) -> Host {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/host")
            .join(kind);
        assert!(root.is_dir(), "no recorded host {kind}");
        Host::new(root)
    }

    /// What only the tests of the library do with a host that they make up.
    impl Tree {
        /// Writes a file of any bytes.
        pub(crate) fn bytes(self, path: &str, bytes: &[u8]) -> Self {
            let tree = self.file(path, "");
            fs::write(tree.path(path), bytes).unwrap();
            tree
        }

        /// Makes a folder. Where a file belongs, it is one that cannot be read.
        pub(crate) fn folder(self, path: &str) -> Self {
            let path = self.path(path);
            let _ = fs::remove_file(&path);
            fs::create_dir_all(path).unwrap();
            self
        }

        /// The host.
        pub(crate) fn host(&self) -> Host {
            Host::new(self.root())
        }
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("is-a-folder")).unwrap();
        let host = Host::new(folder.path());
        assert_eq!(host.read("/not/there").unwrap(), None);
        assert!(matches!(
            host.read("/is-a-folder"),
            Err(HostError::Unreadable { .. })
        ));
        assert!(matches!(
            host.read_required("/not/there"),
            Err(HostError::Missing { .. })
        ));
    }
}
