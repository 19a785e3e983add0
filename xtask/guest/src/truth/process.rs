//! What `/proc` says of a process.

use std::fs;

use anyhow::{Context, Result};

use super::files::{cpu_list, read};

/// A field of `/proc/PID/status`.
pub fn status(path: &str, field: &str) -> Result<String> {
    let text = read(path)?;
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
        .with_context(|| format!("{path} has no {field}"))
}

/// Anonymous memory in place, in KiB.
pub fn anonymous_kib(pid: u32) -> Result<u64> {
    let value = status(&format!("/proc/{pid}/status"), "RssAnon")?;
    let number = value.trim_end_matches("kB").trim();
    number.parse().with_context(|| value.clone())
}

/// The CPUs that each thread may run on.
pub fn affinities(pid: u32) -> Result<Vec<(String, Vec<u32>)>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path().join("status");
        if !path.exists() {
            // The thread has ended since the folder was read.
            continue;
        }
        let path = path.display().to_string();
        let name = status(&path, "Name")?;
        threads.push((name, cpu_list(&status(&path, "Cpus_allowed_list")?)?));
    }
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_threads() {
        let pid = std::process::id();
        assert!(anonymous_kib(pid).unwrap() > 0);
        // Threads of other tests come and go, also between two looks at one of them.
        let threads = (0..100).find_map(|_| affinities(pid).ok()).unwrap();
        assert!(!threads.is_empty() && threads.iter().all(|(_, cpus)| !cpus.is_empty()));
        status(&format!("/proc/{pid}/status"), "NoSuchField").unwrap_err();
    }
}
