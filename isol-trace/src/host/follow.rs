//! The watched set of a running trace follows the host: partitions that come and go, CPUs that
//! are taken offline and brought back.
//!
//! A CPU that goes offline stays watched, so that nothing is missed when it is back.

use super::{
    Host, HostError,
    cpu_list::CpuSet,
    sysfs,
    watched::{Isolation, tracer},
};
use crate::event::{ids::Cpu, model::CpuChange};

/// The watched set, and what it was decided from.
#[derive(Clone, Debug)]
pub struct Following {
    /// CPUs that were named; `None` for every isolated one.
    asked: Option<CpuSet>,
    watched: CpuSet,
    isolation: Isolation,
    /// The files that tell, and their texts when they were last read.
    files: Vec<(String, Option<String>)>,
}

/// What became of the watched set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened to which CPU, in the order of their numbers. Of housekeeping CPUs: that they
    /// stopped or began to run.
    pub cpus: Vec<(Cpu, CpuChange)>,
    /// CPUs that are watched from now on.
    pub added: CpuSet,
    /// CPUs that are watched no longer.
    pub removed: CpuSet,
    /// CPUs under watch that are online.
    pub watched: CpuSet,
    /// Every other online CPU.
    pub housekeeping: CpuSet,
    /// Where the tracer's own threads run.
    pub tracer: CpuSet,
}

impl Following {
    /// Follows from here on: `watched` was decided just before.
    pub fn new(host: &Host, asked: Option<CpuSet>, watched: CpuSet) -> Result<Self, HostError> {
        let mut files = vec![sysfs::file("online"), sysfs::file("isolated")];
        files.extend(host.cpuset_isolated_files()?);
        Ok(Self {
            asked,
            watched,
            isolation: host.isolation()?,
            // Read at the first look: what has changed since the decision shows there.
            files: files.into_iter().map(|path| (path, None)).collect(),
        })
    }

    /// Looks at the host. `None` where nothing has changed for the watched set.
    pub fn look(&mut self, host: &Host) -> Result<Option<Change>, HostError> {
        let mut news = false;
        for (path, known) in &mut self.files {
            let text = host.read(path)?;
            news |= text != *known;
            *known = text;
        }
        if !news {
            return Ok(None);
        }
        let isolation = host.isolation()?;
        Ok(self.change(isolation))
    }

    /// CPUs that could not be watched after all.
    pub fn give_up(&mut self, cpus: &CpuSet) {
        self.watched = &self.watched - cpus;
    }

    /// What a new state of the host means.
    fn change(&mut self, now: Isolation) -> Option<Change> {
        let wanted =
            |isolation: &Isolation| self.asked.clone().unwrap_or(isolation.isolated.clone());
        let (wanted_before, wanted_now) = (wanted(&self.isolation), wanted(&now));
        let watched = &wanted_now & &(&now.online | &self.watched);
        let housekeeping = &now.online - &watched;
        if housekeeping.is_empty() {
            // Nowhere for us to go: all stays as it is until there is room.
            return None;
        }
        // Where our own threads run, and what the log calls housekeeping, follows too.
        let ran_or_run = &self.isolation.online | &now.online;
        let all = &(&self.watched | &watched) | &ran_or_run;
        let cpus: Vec<_> = all
            .iter()
            .filter_map(|cpu| {
                let (was, is) = (self.watched.contains(cpu), watched.contains(cpu));
                let (ran, runs) = (
                    self.isolation.online.contains(cpu),
                    now.online.contains(cpu),
                );
                let change = match (was, is) {
                    (false, true) if wanted_before.contains(cpu) => CpuChange::Online,
                    (false, true) => CpuChange::Isolated,
                    (true, false) => CpuChange::Released,
                    _ if ran && !runs => CpuChange::Offline,
                    _ if !ran && runs => CpuChange::Online,
                    _ => return None,
                };
                Some((cpu, change))
            })
            .collect();
        let change = Change {
            cpus,
            added: &watched - &self.watched,
            removed: &self.watched - &watched,
            watched: &watched & &now.online,
            tracer: tracer(&housekeeping, &now.isolated),
            housekeeping,
        };
        self.watched = watched;
        self.isolation = now;
        (!change.cpus.is_empty()).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(text: &str) -> CpuSet {
        text.parse().unwrap()
    }

    fn isolation(isolated: &str, online: &str) -> Isolation {
        Isolation {
            isolated: cpus(isolated),
            online: cpus(online),
            present: cpus("0-7"),
            nohz_full: CpuSet::new(),
        }
    }

    fn following(asked: Option<&str>, watched: &str, isolation: Isolation) -> Following {
        Following {
            asked: asked.map(cpus),
            watched: cpus(watched),
            isolation,
            files: Vec::new(),
        }
    }

    fn words(change: &Change) -> Vec<(u32, &'static str)> {
        let words = |&(cpu, change): &(Cpu, CpuChange)| (cpu.0, change.word());
        change.cpus.iter().map(words).collect()
    }

    #[test]
    fn a_partition_that_comes_is_watched_and_one_that_goes_is_not() {
        let mut all = following(None, "1", isolation("1", "0-3"));
        let change = all.change(isolation("1-2", "0-3")).unwrap();
        assert_eq!(words(&change), [(2, "isolated")]);
        assert_eq!((change.added, change.removed), (cpus("2"), CpuSet::new()));
        assert_eq!(change.watched, cpus("1-2"));
        assert_eq!(change.housekeeping, cpus("0,3"));
        assert_eq!(all.change(isolation("1-2", "0-3")), None);
        let change = all.change(isolation("", "0-3")).unwrap();
        assert_eq!(words(&change), [(1, "released"), (2, "released")]);
        assert_eq!(change.removed, cpus("1-2"));
        assert!(change.watched.is_empty(), "and the trace goes on");
    }

    #[test]
    fn a_cpu_that_goes_offline_stays_watched() {
        let mut all = following(None, "1-2", isolation("1-2", "0-3"));
        let change = all.change(isolation("1-2", "0-1,3")).unwrap();
        assert_eq!(words(&change), [(2, "offline")]);
        assert!(change.added.is_empty() && change.removed.is_empty());
        assert_eq!(change.watched, cpus("1"));
        let change = all.change(isolation("1-2", "0-3")).unwrap();
        assert_eq!(words(&change), [(2, "online")]);
        assert!(change.added.is_empty(), "it was never given up");
    }

    #[test]
    fn housekeeping_cpus_that_go_and_come_are_followed() {
        let mut all = following(None, "1", isolation("1", "0-3"));
        let change = all.change(isolation("1", "0-2")).unwrap();
        assert_eq!(words(&change), [(3, "offline")]);
        assert_eq!(change.housekeeping, cpus("0,2"));
        assert_eq!((change.tracer, change.watched), (cpus("0,2"), cpus("1")));
        assert!(change.added.is_empty() && change.removed.is_empty());
        let change = all.change(isolation("1", "0-3")).unwrap();
        assert_eq!(words(&change), [(3, "online")]);
        assert_eq!(change.housekeeping, cpus("0,2-3"));
        assert_eq!(all.change(isolation("1", "0-3")), None);
    }

    #[test]
    fn an_isolated_cpu_that_was_offline_at_the_start_is_watched_when_it_is_there() {
        let mut all = following(None, "1", isolation("1-2", "0-1"));
        let change = all.change(isolation("1-2", "0-2")).unwrap();
        assert_eq!(words(&change), [(2, "online")]);
        assert_eq!(change.added, cpus("2"));
    }

    #[test]
    fn a_list_names_exactly_what_is_watched_whatever_is_isolated() {
        let mut named = following(Some("2"), "2", isolation("1-2", "0-3"));
        assert_eq!(named.change(isolation("1-3", "0-3")), None);
        let change = named.change(isolation("", "0-1,3")).unwrap();
        assert_eq!(words(&change), [(2, "offline")]);
        assert!(change.removed.is_empty());
    }

    #[test]
    fn the_tracer_keeps_a_cpu_for_itself() {
        let mut all = following(None, "1", isolation("1", "0-1"));
        assert_eq!(all.change(isolation("0-1", "0-1")), None);
        let change = all.change(isolation("0-1", "0-2")).unwrap();
        assert_eq!(words(&change), [(0, "isolated"), (2, "online")]);
        assert_eq!(change.tracer, cpus("2"));
    }

    #[test]
    fn cpus_that_could_not_be_watched_are_tried_at_the_next_change() {
        let mut all = following(None, "1", isolation("1", "0-3"));
        assert!(all.change(isolation("1-2", "0-3")).is_some());
        all.give_up(&cpus("2"));
        let change = all.change(isolation("1-2", "0-2")).unwrap();
        assert_eq!(change.added, cpus("2"));
    }

    /// The files are read, and read again only where they have changed.
    #[test]
    fn a_recorded_host_does_not_change() {
        let host = crate::host::tests::recorded("isolated-partition");
        let watched = host.isolation().unwrap().isolated;
        let mut all = Following::new(&host, None, watched).unwrap();
        assert_eq!(all.files.len(), 3, "{:?}", all.files);
        assert_eq!(all.look(&host).unwrap(), None);
        assert!(all.files.iter().any(|(_, text)| text.is_some()));
    }
}
