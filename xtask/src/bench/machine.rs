//! The machine in words that say nothing of whose it is, and the day.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::exec;

/// What is measured on.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// The processor's model.
    pub(super) model: String,
    /// The kernel.
    pub(super) kernel: String,
    /// Online CPUs.
    pub(super) cpus: Vec<u32>,
    /// Runnable tasks on average over the last minute, as the measurement began.
    pub(super) load: String,
    /// The day.
    pub(super) date: String,
}

impl Machine {
    /// Reads it.
    pub(super) fn read() -> Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown processor", |(_, model)| model.trim());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        // What follows the version proper names builds and hosts.
        let kernel = release.trim().split(['-', '+']).next().unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            model: model.to_owned(),
            kernel: kernel.to_owned(),
            cpus: list(&fs::read_to_string("/sys/devices/system/cpu/online")?)?,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            date: exec::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?
                .trim()
                .to_owned(),
        })
    }

    /// The CPU to watch and the one to leave alone.
    pub(super) fn pair(&self, watched: Option<u32>) -> Result<(u32, u32)> {
        let watched = match watched {
            Some(cpu) if self.cpus.contains(&cpu) => cpu,
            Some(cpu) => bail!("CPU {cpu} is not online"),
            None => *self.cpus.last().context("no CPU is online")?,
        };
        let housekeeping = self.cpus.iter().copied().find(|&cpu| cpu != watched);
        let housekeeping = housekeeping.context("one CPU alone cannot be watched")?;
        Ok((watched, housekeeping))
    }
}

/// The kernel's list format.
fn list(text: &str) -> Result<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<u32>()?..=last.parse()?);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(list("0-2,5\n").unwrap(), [0, 1, 2, 5]);
        assert!(list("").is_err());
    }
}
