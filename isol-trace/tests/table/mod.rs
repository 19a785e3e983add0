//! The tables of `docs/files.md`: which files the program may open. The tests of the library and
//! those of the binary share this file.

use std::{fs, path::Path};

/// The heading of the table of files that are never read.
const NEVER: &str = "## Never read";

/// Beginnings of paths whose files have to be in a table. Others are programs, libraries, logs and
/// temporary files: files of a disk, which no function of the kernel makes up.
const LISTED: [&str; 9] = [
    "/boot/",
    "/dev/",
    "/etc/",
    "/lib/modules/",
    "/proc",
    "/run/",
    "/selinux/",
    "/sys",
    "/var/",
];

/// The files of the tables, as patterns.
#[derive(Debug)]
pub(crate) struct Table {
    read: Vec<String>,
    never: Vec<String>,
}

impl Table {
    /// Reads the page.
    pub(crate) fn of_the_page() -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/files.md");
        Self::parse(&fs::read_to_string(page).unwrap())
    }

    fn parse(page: &str) -> Self {
        let (read, never) = page.split_once(NEVER).unwrap();
        let (read, never) = (patterns(read), patterns(never));
        assert!(
            !read.is_empty() && !never.is_empty(),
            "the tables are empty"
        );
        Self { read, never }
    }

    /// Whether the program may open a file.
    pub(crate) fn allows(&self, path: &str) -> bool {
        !LISTED.iter().any(|one| path.starts_with(one)) || matches(&self.read, path)
    }

    /// Files that are in a table of those that are read and in that of those that never are.
    pub(crate) fn contradictions(&self) -> Vec<&str> {
        let both = |path: &&String| matches(&self.never, &sample(path));
        self.read.iter().filter(both).map(String::as_str).collect()
    }
}

/// The paths in the first column of all rows.
fn patterns(page: &str) -> Vec<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `/")?.split(" | ").next())
        .flat_map(|cell| cell.split("`, `"))
        .map(|path| {
            let path = path.trim_matches('`').trim_start_matches('/');
            format!("/{path}")
        })
        .collect()
}

fn matches(patterns: &[String], path: &str) -> bool {
    let path: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    patterns.iter().any(|pattern| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        fits(&pattern, &path)
    })
}

/// Whether a path is one that a pattern describes, name by name.
fn fits(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        // A folder at any depth, the hierarchy's own among them.
        (Some((&"GROUP", rest)), _) => {
            fits(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(_, more)| fits(pattern, more))
        }
        (Some((pattern, rest)), Some((name, more))) => is(pattern, name) && fits(rest, more),
        _ => false,
    }
}

fn is(pattern: &str, name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    match pattern {
        "NAME" => !name.is_empty(),
        "PID" | "TID" => is_number(name) || name == "self",
        _ => match (pattern.strip_suffix('N'), pattern.strip_suffix("RELEASE")) {
            (Some(stem), _) => name.strip_prefix(stem).is_some_and(is_number),
            (_, Some(stem)) => name.strip_prefix(stem).is_some_and(|it| !it.is_empty()),
            _ => pattern == name,
        },
    }
}

/// A path that a pattern describes.
fn sample(pattern: &str) -> String {
    let names = pattern.split('/').map(|name| match name {
        "PID" | "TID" => "7".to_owned(),
        name => name.replace('N', "7").replace("RELEASE", "6.12"),
    });
    names.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
        text\n\
        | file | who |\n\
        | --- | --- |\n\
        | `/proc/PID/comm`, `/sys/cpu/cpuN/online` | all |\n\
        | `/sys/fs/cgroup/GROUP/cpus` | all |\n\
        | `/boot/config-RELEASE` | all |\n\
        ## Never read\n\
        | `/proc/PID/stat` | it disturbs |\n";

    #[test]
    fn a_file_is_allowed_where_a_row_has_it() {
        let table = Table::parse(PAGE);
        for path in [
            "/proc/7/comm",
            "/sys/cpu/cpu12/online",
            "/sys/fs/cgroup/cpus",
            "/sys/fs/cgroup/a/b/cpus",
            "/boot/config-6.12.1-x",
            "/usr/lib/libc.so.6",
        ] {
            assert!(table.allows(path), "{path}");
        }
        for path in [
            "/proc/7/stat",
            "/proc/x/comm",
            "/proc/7/task/7/comm",
            "/sys/cpu/cpu/online",
            "/sys/cpu/cpu1x/online",
            "/sys/fs/cgroup/a/b",
            "/boot/config-",
            "/etc/passwd",
        ] {
            assert!(!table.allows(path), "{path}");
        }
        assert_eq!(table.contradictions(), [""; 0]);
    }

    #[test]
    fn a_file_in_both_tables_is_a_contradiction() {
        let both = PAGE.replace("/proc/PID/comm", "/proc/PID/stat");
        assert_eq!(Table::parse(&both).contradictions(), ["/proc/PID/stat"]);
    }
}
