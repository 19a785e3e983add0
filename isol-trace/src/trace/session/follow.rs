//! The watched set follows the host while the trace runs.

use std::time::Duration;

use super::Session;
use crate::{
    allocator::give_memory_back,
    bpf::{btf::KernelTypes, probe_selection::blind_spots},
    clock::monotonic,
    error::Error,
    event::model::{Event, ProbeVerdict, WatchedSet},
    host::{affinity, cpu_list::CpuSet, detection::detection},
};

/// How often the host is asked what it isolates now: three small files.
pub(in crate::trace) const FOLLOW: Duration = Duration::from_millis(250);

impl Session {
    /// Follows the host: what is isolated since, and what runs. An event where that changed the
    /// watched set or its state. What the rings hold meanwhile goes to `take`.
    pub fn follow(&mut self, take: impl FnMut(Event)) -> Result<Option<Event>, Error> {
        let change = match self.following.look(&self.host) {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.warnings
                    .push(format!("the watched CPUs stay as they are: {error}"));
                return Ok(None);
            }
        };
        // First: our own threads must not be the new CPU's first breach.
        if let Err(error) = affinity::confine(&change.tracer) {
            self.warnings.push(error.to_string());
        }
        self.reader
            .attributor
            .moved(&change.tracer, &change.watched);
        let probes = self.watch(&change.added, take)?;
        let removed: Vec<_> = change.removed.iter().collect();
        if !removed.is_empty() {
            self.tracer.unwatch(&removed).map_err(Error::tracer)?;
            self.watched.retain(|(cpu, _)| !removed.contains(cpu));
        }
        self.plan.housekeeping = change.housekeeping;
        let cpus: Vec<_> = self
            .watched
            .iter()
            .filter(|(cpu, _)| change.watched.contains(*cpu))
            .copied()
            .collect();
        Ok(Some(Event::Watched(WatchedSet {
            at: monotonic(),
            changes: change.cpus,
            blind_spots: blind_spots(&cpus).into_iter().map(Into::into).collect(),
            cpus,
            housekeeping: self.plan.housekeeping.iter().collect(),
            probes,
        })))
    }

    /// Watches more CPUs. What this attaches first comes while the others are watched, and counts;
    /// their rings are read between two probes.
    fn watch(
        &mut self,
        added: &CpuSet,
        mut take: impl FnMut(Event),
    ) -> Result<Vec<ProbeVerdict>, Error> {
        if added.is_empty() {
            return Ok(Vec::new());
        }
        let types = KernelTypes::read(&self.host.btf_path()).map_err(Error::tracer)?;
        let cpus: Vec<_> = added
            .iter()
            .map(|cpu| {
                (
                    cpu,
                    detection(cpu, &self.plan.nohz_full, self.has_user_exit),
                )
            })
            .collect();
        let reader = &mut self.reader;
        let watched = self.tracer.watch(&cpus, &types, |tracer| {
            reader.poll(tracer, &mut take);
        });
        drop(types);
        give_memory_back();
        match watched {
            Ok(probes) => {
                for &(cpu, _) in &cpus {
                    self.lost.entry(cpu).or_insert(0);
                }
                self.watched.extend(cpus);
                self.watched.sort_unstable_by_key(|(cpu, _)| *cpu);
                Ok(probes)
            }
            Err(error) => {
                self.following.give_up(added);
                self.warnings.push(format!(
                    "{} {} isolated now and not watched: {error}",
                    added.in_words(),
                    added.of_one("is", "are")
                ));
                Ok(Vec::new())
            }
        }
    }
}
