//! The scheduler's own accounts of CPUs, which a reader of settings must not move.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};

use super::{files::read, guest::Guest};

/// Where the scheduler shows its runqueues. Reading it takes the lock of each, and sends nothing
/// (`print_cfs_rq`, kernel/sched/debug.c, v6.12).
const DEBUG: &str = "/sys/kernel/debug/sched/debug";

/// Deadline bandwidth that is taken, of the root domain of a CPU.
const BANDWIDTH: &str = ".dl_bw->total_bw";

/// A reading of the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The line of each watched CPU in `/proc/schedstat`.
    pub statistics: BTreeMap<u32, String>,
    /// Deadline bandwidth by CPU.
    pub bandwidth: BTreeMap<u32, u64>,
    /// The fair server's share of each watched CPU, nanoseconds; none before 6.12.
    pub fair_server: BTreeMap<u32, String>,
}

impl Accounts {
    /// Reads them now.
    pub fn read(guest: &Guest) -> Result<Self> {
        let fair_server = guest.watched.iter().filter_map(|&cpu| {
            let path = format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime");
            Some((cpu, fs::read_to_string(path).ok()?))
        });
        Ok(Self {
            statistics: statistics(&read("/proc/schedstat")?, &guest.watched),
            bandwidth: bandwidth(&read(DEBUG)?)?,
            fair_server: fair_server.collect(),
        })
    }

    /// Fails where nothing is booked: what is 0 already cannot be lost.
    pub fn require_bandwidth(&self) -> Result<()> {
        let booked: u64 = self.bandwidth.values().sum();
        ensure!(booked > 0, "no deadline bandwidth is booked: {self:?}");
        Ok(())
    }
}

/// The lines of some CPUs in `/proc/schedstat`.
fn statistics(text: &str, cpus: &[u32]) -> BTreeMap<u32, String> {
    text.lines()
        .filter_map(|line| {
            let (cpu, numbers) = line.strip_prefix("cpu")?.split_once(' ')?;
            Some((cpu.parse().ok()?, numbers.to_owned()))
        })
        .filter(|(cpu, _)| cpus.contains(cpu))
        .collect()
}

/// The deadline bandwidth of each CPU's root domain.
fn bandwidth(text: &str) -> Result<BTreeMap<u32, u64>> {
    let mut cpu = None;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("dl_rq[") {
            let (number, _) = rest.split_once(']').with_context(|| line.to_owned())?;
            cpu = Some(number.parse().with_context(|| line.to_owned())?);
        } else if let Some(rest) = line.trim_start().strip_prefix(BANDWIDTH) {
            let number = rest.trim_start_matches([' ', ':']);
            let number = number.parse().with_context(|| line.to_owned())?;
            found.insert(cpu.context("bandwidth of no CPU")?, number);
        }
    }
    ensure!(!found.is_empty(), "{DEBUG} has no {BANDWIDTH}");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cpus_are_found() {
        let text = "version 17\ntimestamp 1\ncpu0 0 0 1\ndomain0 3 1\ncpu1 0 0 7 8\ncpu10 9";
        let found = statistics(text, &[1]);
        assert_eq!(found, [(1, "0 0 7 8".to_owned())].into_iter().collect());
    }

    #[test]
    fn bandwidth_belongs_to_the_cpu_above_it() {
        let text = "\
dl_rq[0]:
  .dl_nr_running                 : 0
  .dl_bw->bw                     : 996147
  .dl_bw->total_bw               : 104856

dl_rq[1]:
  .dl_bw->total_bw               : 0
";
        assert_eq!(
            bandwidth(text).unwrap(),
            [(0, 104_856), (1, 0)].into_iter().collect()
        );
        bandwidth("cpu#0").unwrap_err();
    }
}
