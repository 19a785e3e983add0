//! The watched CPUs, the housekeeping CPUs, and those of the tracer itself.

use super::{Host, HostError, cpu_list::CpuSet};
use crate::event::ids::Pid;

/// Who watches whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// CPUs under watch: all online.
    pub watched: CpuSet,
    /// Every other online CPU.
    pub housekeeping: CpuSet,
    /// Where the tracer's own threads run: the housekeeping CPUs that are not isolated
    /// either, so that `--cpus` on a part of the isolated CPUs does not put the tracer
    /// on the rest of them; all housekeeping CPUs where that would leave none.
    pub tracer: CpuSet,
    /// CPUs that are isolated and, being offline, left out.
    pub offline: CpuSet,
    /// CPUs of `nohz_full=`, watched or not.
    pub nohz_full: CpuSet,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchedError {
    /// No CPU is isolated and none was named.
    #[error(
        "no CPU of this host is isolated: boot it with nohz_full=LIST isolcpus=LIST, or name the CPUs to watch with --cpus LIST"
    )]
    None,
    /// The processes that were named run elsewhere.
    #[error(
        "--pid: the process may run on {}, which {is}: pin it to an isolated CPU, as with `taskset -apc {isolated} PID`, or name the CPUs to watch with --cpus LIST",
        .allowed.in_words(),
        is = .allowed.of_one("is not isolated, or is offline", "are not isolated, or are offline")
    )]
    NotIsolated {
        /// Where they may run.
        allowed: CpuSet,
        /// What is isolated, and online.
        isolated: CpuSet,
    },
    /// All isolated CPUs are offline.
    #[error(
        "every isolated CPU of this host ({0}) is offline: bring one online, as with `echo 1 > /sys/devices/system/cpu/cpu{first}/online`, or name the CPUs to watch with --cpus LIST",
        first = first(.0)
    )]
    AllOffline(CpuSet),
    /// A CPU was named that does not exist.
    #[error("--cpus: {} {do_not} exist on this host, which has {}", .missing.in_words(), .present.in_words(), do_not = .missing.of_one("does not", "do not"))]
    Missing {
        /// Which.
        missing: CpuSet,
        /// What there is.
        present: CpuSet,
    },
    /// A CPU was named that is offline.
    #[error(
        "--cpus: {} {are} offline: bring {it} online, as with `echo 1 > /sys/devices/system/cpu/cpu{first}/online`, or leave {it} out",
        .0.in_words(),
        are = .0.of_one("is", "are"),
        it = .0.of_one("it", "them"),
        first = first(.0)
    )]
    Offline(CpuSet),
    /// Every online CPU would be watched.
    #[error(
        "watching {} leaves no housekeeping CPU for isol-trace itself to run on: leave at least one online CPU out, with --cpus LIST",
        .watched.in_words()
    )]
    NoHousekeeping {
        /// What was to be watched.
        watched: CpuSet,
    },
    /// Nothing can be said.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The lowest CPU of a set, for an example in a sentence.
fn first(cpus: &CpuSet) -> String {
    cpus.first()
        .map_or_else(|| "N".to_owned(), |cpu| cpu.to_string())
}

/// What a host isolates, and which of its CPUs run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// CPUs that anything isolates, as far as they are present.
    pub isolated: CpuSet,
    /// CPUs that run.
    pub online: CpuSet,
    /// CPUs that are there.
    pub present: CpuSet,
    /// CPUs of `nohz_full=`.
    pub nohz_full: CpuSet,
}

impl Host {
    /// What this host isolates now.
    pub fn isolation(&self) -> Result<Isolation, HostError> {
        let online = self.online()?;
        let nohz_full = self.nohz_full()?;
        let present = self.present()?;
        // A boot argument may name CPUs that this machine does not have.
        let isolated = &(&nohz_full | &self.isolated()?) | &self.cpuset_isolated()?;
        Ok(Isolation {
            isolated: &isolated & &present,
            online,
            present,
            nohz_full,
        })
    }

    /// The isolated CPUs that processes may run on, and those that they may run on as well; `None` where no
    /// CPU is isolated, or nothing is known of the processes.
    pub fn watched_of(&self, pids: &[Pid]) -> Result<Option<(CpuSet, CpuSet)>, WatchedError> {
        let Isolation {
            isolated, online, ..
        } = self.isolation()?;
        let isolated = &isolated & &online;
        let mut allowed = CpuSet::new();
        for &pid in pids {
            match self.cpus_of(pid) {
                Some(cpus) => allowed = &allowed | &cpus,
                None => return Ok(None),
            }
        }
        // A process may be allowed CPUs that are not there.
        let allowed = &allowed & &online;
        if allowed.is_empty() || isolated.is_empty() {
            return Ok(None);
        }
        let watched = &allowed & &isolated;
        if watched.is_empty() {
            return Err(WatchedError::NotIsolated { allowed, isolated });
        }
        Ok(Some((watched, &allowed - &isolated)))
    }

    /// Decides who is watched: what was asked for, or else every isolated CPU.
    pub fn watched(&self, asked: Option<&CpuSet>) -> Result<Watched, WatchedError> {
        let Isolation {
            isolated,
            online,
            present,
            nohz_full,
        } = self.isolation()?;
        let watched = match asked {
            Some(asked) => {
                require_online(asked, &present, &online)?;
                asked.clone()
            }
            None if isolated.is_empty() => return Err(WatchedError::None),
            None => &isolated & &online,
        };
        if watched.is_empty() {
            return Err(WatchedError::AllOffline(isolated));
        }
        let housekeeping = &online - &watched;
        if housekeeping.is_empty() {
            return Err(WatchedError::NoHousekeeping { watched });
        }
        Ok(Watched {
            tracer: tracer(&housekeeping, &isolated),
            offline: match asked {
                Some(_) => CpuSet::new(),
                None => &isolated - &online,
            },
            watched,
            housekeeping,
            nohz_full,
        })
    }
}

/// Where the tracer's own threads run: see [`Watched::tracer`].
pub(super) fn tracer(housekeeping: &CpuSet, isolated: &CpuSet) -> CpuSet {
    let not_isolated = housekeeping - isolated;
    if not_isolated.is_empty() {
        housekeeping.clone()
    } else {
        not_isolated
    }
}

/// Checks that CPUs that were named exist and run.
fn require_online(asked: &CpuSet, present: &CpuSet, online: &CpuSet) -> Result<(), WatchedError> {
    let missing = asked - present;
    if !missing.is_empty() {
        return Err(WatchedError::Missing {
            missing,
            present: present.clone(),
        });
    }
    let offline = asked - online;
    if !offline.is_empty() {
        return Err(WatchedError::Offline(offline));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::recorded;

    fn cpus(text: &str) -> CpuSet {
        text.parse().unwrap()
    }

    fn watched(kind: &str, asked: Option<&str>) -> Result<Watched, WatchedError> {
        let asked = asked.map(cpus);
        recorded(kind).watched(asked.as_ref())
    }

    #[test]
    fn every_kind_of_isolation_is_found() {
        for (kind, expected, housekeeping) in [
            ("nohz-full", "1-2", "0,3"),
            ("isolcpus-only", "2-3", "0-1"),
            ("isolated-partition", "1-3", "0"),
            ("cpu0-isolated", "0-1", "2-3"),
            ("many-cpus", "8-4095", "0-7"),
        ] {
            let found = watched(kind, None).unwrap();
            assert_eq!(found.watched, cpus(expected), "{kind}");
            assert_eq!(found.housekeeping, cpus(housekeeping), "{kind}");
            assert_eq!(found.tracer, cpus(housekeeping), "{kind}");
            assert!(found.offline.is_empty(), "{kind}");
        }
    }

    #[test]
    fn a_list_names_exactly_what_is_watched() {
        let found = watched("nohz-full", Some("2-3")).unwrap();
        assert_eq!(found.watched, cpus("2-3"));
        assert_eq!(found.housekeeping, cpus("0-1"));
        assert_eq!(found.nohz_full, cpus("1-2"));
    }

    #[test]
    fn the_tracer_stays_off_isolated_cpus_that_are_not_watched() {
        let found = watched("nohz-full", Some("1")).unwrap();
        assert_eq!(found.housekeeping, cpus("0,2-3"));
        assert_eq!(found.tracer, cpus("0,3"));
        // Where only isolated CPUs are left, it has to run on them.
        let found = watched("nohz-full", Some("0,1,3")).unwrap();
        assert_eq!(found.tracer, cpus("2"));
    }

    #[test]
    fn offline_cpus_are_left_out_by_default_and_refused_by_name() {
        let found = watched("offline-cpu", None).unwrap();
        assert_eq!(found.watched, cpus("2"));
        assert_eq!(found.offline, cpus("3"));
        let error = watched("offline-cpu", Some("2-3")).unwrap_err();
        assert!(matches!(&error, WatchedError::Offline(offline) if *offline == cpus("3")));
        assert!(error.to_string().contains("cpu3/online"), "{error}");
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        assert!(matches!(
            watched("cgroup-v1", None),
            Err(WatchedError::None)
        ));
        assert!(matches!(
            watched("nohz-null", None),
            Err(WatchedError::None)
        ));
        let error = watched("all-offline", None).unwrap_err();
        assert!(matches!(&error, WatchedError::AllOffline(offline) if *offline == cpus("2-3")));
        assert!(error.to_string().contains("cpu2/online"), "{error}");
        assert!(matches!(
            watched("garbled", None),
            Err(WatchedError::Host(_))
        ));
        // Possible is not enough: CPU 5 may be plugged in one day and is not there.
        let error = watched("offline-cpu", Some("2,5")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--cpus: CPU 5 does not exist on this host, which has CPUs 0-3"
        );
        assert!(matches!(
            watched("nohz-full", Some("0-3")),
            Err(WatchedError::NoHousekeeping { .. })
        ));
        // The last online CPU, though offline ones remain.
        assert!(matches!(
            watched("offline-cpu", Some("0-2")),
            Err(WatchedError::NoHousekeeping { .. })
        ));
    }
}
