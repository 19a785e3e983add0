//! Which CPUs the isolated partitions of cgroup v2 take out of scheduling, and which version of
//! cgroup has the cpusets.

use super::{Host, HostError, cpu_list::CpuSet, reading::Reading};

/// Where cpusets are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpusets {
    /// In cgroup v2, which can isolate CPUs at run time.
    V2,
    /// In a hierarchy of cgroup v1, which cannot.
    V1,
    /// Nowhere that this process sees.
    None,
}

/// Folders that are looked at for partitions; hosts of containers have some thousands.
const MOST_FOLDERS: usize = 20_000;

/// What a cgroup asked to be (`cpuset.cpus.partition`, Documentation/admin-guide/cgroup-v2.rst, 6.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The folder of the group.
    pub folder: String,
    /// It asked for its CPUs to leave the scheduler's domains; else for a domain of its own.
    pub isolated: bool,
    /// Why it is not what it asked for, in the kernel's words, which may be none; `None` where it is.
    pub invalid: Option<String>,
    /// The CPUs that it has now (`cpuset.cpus.effective`).
    pub cpus: Reading<CpuSet>,
}

impl Host {
    /// Which version of cgroup has the cpusets.
    #[must_use]
    pub fn cpusets(&self) -> Cpusets {
        let Ok(Some(mounts)) = self.read("/proc/self/mountinfo") else {
            return Cpusets::None;
        };
        if is_v1_cpuset_mounted(&mounts) {
            return Cpusets::V1;
        }
        for folder in cgroup2_mounts(&mounts) {
            let controllers = self.read(&format!("{folder}/cgroup.controllers"));
            if let Ok(Some(names)) = controllers
                && names.split_ascii_whitespace().any(|name| name == "cpuset")
            {
                return Cpusets::V2;
            }
        }
        Cpusets::None
    }

    /// The partitions of cgroup v2, in force or not, below the groups that this process sees. The
    /// root itself, which always is one, is left out.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let Ok(Some(mounts)) = self.read("/proc/self/mountinfo") else {
            return Vec::new();
        };
        let mut folders: Vec<String> = cgroup2_mounts(&mounts).collect();
        let mut partitions = Vec::new();
        let mut looked_at = 0;
        while let Some(folder) = folders.pop() {
            looked_at += 1;
            if looked_at > MOST_FOLDERS {
                break;
            }
            let path = format!("{folder}/cpuset.cpus.partition");
            let state = self.reading(&path, |text| partition(&folder, text));
            if let Reading::Known(partition) = state {
                let cpus = self.cpu_list(&format!("{folder}/cpuset.cpus.effective"));
                partitions.push(Partition { cpus, ..partition });
            }
            for name in self.names(&folder) {
                let path = format!("{folder}/{name}");
                // No link: a tree that was recorded may have one to anywhere.
                let is_folder = self
                    .path(&path)
                    .symlink_metadata()
                    .is_ok_and(|it| it.is_dir());
                if is_folder {
                    folders.push(path);
                }
            }
        }
        partitions.sort_unstable_by(|one, other| one.folder.cmp(&other.folder));
        partitions
    }

    /// CPUs of isolated cgroup v2 partitions. None where cgroup v2 is not mounted, has no
    /// cpuset controller, predates the file (before 6.7), or shows only a container's part.
    pub fn cpuset_isolated(&self) -> Result<CpuSet, HostError> {
        let mut isolated = CpuSet::new();
        for path in self.cpuset_isolated_files()? {
            if let Some(text) = self.read(&path)? {
                isolated = &isolated | &self.list(&path, &text)?;
            }
        }
        Ok(isolated)
    }

    /// The files that say which CPUs the isolated partitions have, whether they are there or not.
    pub(super) fn cpuset_isolated_files(&self) -> Result<Vec<String>, HostError> {
        let mounts = self.read("/proc/self/mountinfo")?.unwrap_or_default();
        let files = cgroup2_mounts(&mounts).map(|folder| format!("{folder}/cpuset.cpus.isolated"));
        Ok(files.collect())
    }
}

/// Where cgroup v2 is mounted, according to a mountinfo file
/// (Documentation/filesystems/proc.rst, 3.5).
fn cgroup2_mounts(mountinfo: &str) -> impl Iterator<Item = String> + '_ {
    mountinfo.lines().filter_map(|line| {
        // Optional fields of any number end at a lone hyphen.
        let (mount, filesystem) = line.split_once(" - ")?;
        let kind = filesystem.split(' ').next()?;
        let folder = mount.split(' ').nth(4)?;
        (kind == "cgroup2").then(|| unescape(folder))
    })
}

/// What the file of a group says, without its CPUs: `isolated`, `root`, either with `invalid (why)`, or `member`.
fn partition(folder: &str, text: &str) -> Option<Partition> {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let isolated = match kind {
        "isolated" => true,
        "root" => false,
        _ => return None,
    };
    let invalid = rest.strip_prefix("invalid").map(|why| {
        let why = why.trim_ascii();
        let inner = why.strip_prefix('(').and_then(|why| why.strip_suffix(')'));
        inner.unwrap_or(why).to_owned()
    });
    Some(Partition {
        folder: folder.to_owned(),
        isolated,
        invalid,
        cpus: Reading::Absent,
    })
}

/// Whether a hierarchy of cgroup v1 has the cpusets: its name is among the options of the mount.
fn is_v1_cpuset_mounted(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let options = line
            .split_once(" - ")
            .filter(|(_, filesystem)| filesystem.starts_with("cgroup "))
            .and_then(|(_, filesystem)| filesystem.rsplit(' ').next());
        options.is_some_and(|options| options.split(',').any(|option| option == "cpuset"))
    })
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash in a path.
fn unescape(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = if let Some(code) = code {
            plain.push(char::from(code));
            after.get(3..).unwrap_or_default()
        } else {
            plain.push('\\');
            after
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::tests::{Tree, recorded};

    #[test]
    fn the_partition_of_the_mounted_root_is_read() {
        let host = recorded("isolated-partition");
        assert_eq!(host.cpuset_isolated().unwrap().to_string(), "2-3");
    }

    #[test]
    fn other_hosts_have_none() {
        for kind in ["cgroup-v1", "nohz-full", "isolcpus-only"] {
            assert!(recorded(kind).cpuset_isolated().unwrap().is_empty());
        }
    }

    #[test]
    fn cpusets_are_found_where_they_are() {
        let mounts = |line: &str| Tree::new().file("/proc/self/mountinfo", line);
        let v2 = "25 30 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let controllers = "/sys/fs/cgroup/cgroup.controllers";
        assert_eq!(mounts(v2).host().cpusets(), Cpusets::None);
        let found = mounts(v2).file(controllers, "cpu io cpuset memory");
        assert_eq!(found.host().cpusets(), Cpusets::V2);
        let found = mounts(v2).file(controllers, "cpu io memory");
        assert_eq!(found.host().cpusets(), Cpusets::None);
        let v1 = "30 25 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset";
        assert_eq!(mounts(v1).host().cpusets(), Cpusets::V1);
        let other = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct";
        assert_eq!(mounts(other).host().cpusets(), Cpusets::None);
        assert_eq!(Tree::new().host().cpusets(), Cpusets::None);
    }

    #[test]
    fn partitions_say_whether_they_are_in_force() {
        let found = |text: &str| partition("/g", text);
        let known = |isolated, invalid: Option<&str>| {
            Some(Partition {
                folder: "/g".to_owned(),
                isolated,
                invalid: invalid.map(str::to_owned),
                cpus: Reading::Absent,
            })
        };
        assert_eq!(found("isolated"), known(true, None));
        assert_eq!(found("root"), known(false, None));
        let why = "Cpu list in cpuset.cpus not exclusive";
        assert_eq!(
            found(&format!("isolated invalid ({why})")),
            known(true, Some(why))
        );
        assert_eq!(found("root invalid"), known(false, Some("")));
        assert_eq!(found("member"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn partitions_are_found_at_any_depth() {
        let group = "/sys/fs/cgroup/machine.slice/rt";
        let tree = Tree::new()
            .file(
                "/proc/self/mountinfo",
                "25 30 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
            )
            .file(
                "/sys/fs/cgroup/system.slice/cpuset.cpus.partition",
                "member",
            )
            .file(&format!("{group}/cpuset.cpus.partition"), "isolated")
            .file(&format!("{group}/cpuset.cpus.effective"), "2-3")
            .file(&format!("{group}/a/cpuset.cpus.partition"), "root invalid");
        std::os::unix::fs::symlink("..", tree.path(&format!("{group}/loop"))).unwrap();
        let found = tree.host().partitions();
        assert_eq!(found[0].cpus, Reading::Known("2-3".parse().unwrap()));
        assert_eq!(found[1].cpus, Reading::Absent);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.folder.as_str(), it.isolated, it.invalid.as_deref()))
            .collect();
        let inner = format!("{group}/a");
        assert_eq!(
            found,
            [(group, true, None), (inner.as_str(), false, Some(""))]
        );
        assert_eq!(Tree::new().host().partitions(), []);
    }

    #[test]
    fn mounts_are_found_behind_optional_fields() {
        let text = "25 30 0:23 / /sys/fs/cgroup rw shared:4 master:1 - cgroup2 cgroup2 rw\n\
                    26 30 0:24 / /tmp rw - tmpfs tmpfs rw\n\
                    27 30 0:25 / /mnt/a\\040b rw - cgroup2 none rw\n\
                    nonsense\n\
                    28 30 - cgroup2\n";
        let mounts: Vec<_> = cgroup2_mounts(text).collect();
        assert_eq!(mounts, ["/sys/fs/cgroup", "/mnt/a b"]);
    }

    proptest! {
        #[test]
        fn no_mount_line_panics(text in "[0-9 /a-z\\\\é-]{0,60}( - cgroup2)?.{0,20}") {
            let _ = cgroup2_mounts(&text).count();
        }
    }
}
