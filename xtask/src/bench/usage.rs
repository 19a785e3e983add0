//! What a process uses: time on a CPU, and memory.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// Time on a CPU of all its threads so far.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
    let mut sum = 0;
    for task in tasks {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += first_number(&text).context("no schedstat: a kernel without CONFIG_SCHED_INFO")?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Memory of a process, KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Anonymous and resident (`RssAnon`).
    pub(super) anonymous: u64,
    /// Of mapped files, the rings' pages among them (`RssFile`).
    pub(super) file: u64,
    /// Of the mapped rings.
    pub(super) rings: u64,
}

/// Reads it.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    Ok(Memory {
        anonymous: field(&status, "RssAnon:"),
        file: field(&status, "RssFile:"),
        rings: ring_pages(&maps),
    })
}

/// `Rss` of the mappings that are BPF maps.
fn ring_pages(smaps: &str) -> u64 {
    let mut inside = false;
    let mut sum = 0;
    for line in smaps.lines() {
        if line.starts_with(|first: char| first.is_ascii_hexdigit() && !first.is_ascii_uppercase())
        {
            inside = line.ends_with("bpf-map");
        } else if inside && line.starts_with("Rss:") {
            sum += first_number(&line["Rss:".len()..]).unwrap_or(0);
        }
    }
    sum
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(first_number)
        .unwrap_or(0)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_rings_are_told_from_others() {
        let smaps = "7f00-7f01 r--s 00000000 00:0e 1043 anon_inode:bpf-map\nRss:  2056 kB\nPss: 5 kB\n\
                     7f02-7f03 rw-p 00000000 00:00 0 [heap]\nRss:  100 kB\n";
        assert_eq!(ring_pages(smaps), 2056);
    }

    #[test]
    fn a_field_is_its_first_number() {
        assert_eq!(
            field("VmRSS:\t 9 kB\nRssAnon:\t  1234 kB\n", "RssAnon:"),
            1234
        );
        assert_eq!(field("", "RssAnon:"), 0);
    }
}
