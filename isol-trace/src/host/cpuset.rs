//! Which CPUs the isolated partitions of cgroup v2 take out of scheduling, and which version of
//! cgroup has the cpusets.

use super::{Host, HostError, cpu_list::CpuSet};

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
