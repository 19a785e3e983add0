//! From events to stories, with a bound on memory: logs can be gigabytes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::story::{Story, rank};
use crate::{
    attrib::rules::Numbers,
    event::{
        ids::{Cpu, Seq},
        model::{Breach, Event, Kill},
    },
};

/// Breaches that are kept of each CPU: what a kill may name, twice.
const RECENT: usize = 64;

/// CPUs of which breaches are kept: as many as isol-trace can name.
const MAX_CPUS: usize = 4096;

/// Processes that are told of; of the others only how many there were.
const MAX_STORIES: usize = 256;

/// Threads of one process that are told apart.
const MAX_THREADS: usize = 4096;

/// Takes events in the order of a log.
#[derive(Debug, Default)]
pub struct Gatherer {
    recent: HashMap<Cpu, VecDeque<Arc<Breach>>>,
    stories: Vec<Story>,
    /// CPUs of the host that the log was made on.
    host: Numbers,
    /// Those of logs before this one in the same file.
    ended: usize,
    breaches: u64,
    lost: u64,
    untold: u64,
}

/// What a log tells.
#[derive(Debug, Default)]
pub struct Told {
    /// In the order in which the processes were signalled.
    pub stories: Vec<Story>,
    /// Signals of further processes, beyond what is kept.
    pub untold: u64,
    /// Breaches of the log.
    pub breaches: u64,
    /// Records that found no room in it.
    pub lost: u64,
}

impl Gatherer {
    /// Takes the next event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Header(header) => {
                self.begin();
                self.host = Numbers::of_header(header);
            }
            Event::Watched(set) => self.host = Numbers::of_log(&set.cpus, &set.housekeeping),
            Event::Breach(breach) => self.breach(breach),
            Event::Kill(kill) => self.kill(kill),
            Event::Lost { records, .. } => self.lost = self.lost.saturating_add(*records),
            // What ended a task waits in the ring of the senders.
            Event::Summary(summary) => {
                let senders = summary.tracer.lost_senders.unwrap_or_default();
                self.lost = self.lost.saturating_add(senders);
            }
            _ => {}
        }
    }

    /// The log ends.
    #[must_use]
    pub fn finish(self) -> Told {
        Told {
            stories: self.stories,
            untold: self.untold,
            breaches: self.breaches,
            lost: self.lost,
        }
    }

    /// A log begins: its numbers have nothing to do with those of one before it in the same file.
    fn begin(&mut self) {
        self.recent.clear();
        self.ended = self.stories.len();
    }

    fn breach(&mut self, breach: &Breach) {
        self.breaches += 1;
        let breach = Arc::new(breach.clone());
        for story in self.stories.iter_mut().skip(self.ended) {
            if story.wants(breach.seq) {
                story.known.push(Arc::clone(&breach));
            }
        }
        let is_full = self.recent.len() >= MAX_CPUS;
        if is_full && !self.recent.contains_key(&breach.cpu) {
            return;
        }
        let recent = self.recent.entry(breach.cpu).or_default();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(breach);
    }

    fn kill(&mut self, kill: &Kill) {
        let known = self.named_by(kill);
        // A number that comes again is another process by then.
        let same = self
            .stories
            .iter_mut()
            .skip(self.ended)
            .rev()
            .find(|story| {
                let (told, came) = (&story.kill, kill);
                told.fatal == came.fatal
                    && told.task.pid.is_some()
                    && told.task.pid == came.task.pid
                    && !(told.fatal && story.threads.contains(&came.task.tid.0))
            });
        let Some(story) = same else {
            if self.stories.len() >= MAX_STORIES {
                self.untold += 1;
                return;
            }
            let mut story = Story::of(kill, &self.host);
            story.known = known;
            self.stories.push(story);
            return;
        };
        if !kill.fatal {
            story.repeats += 1;
            return;
        }
        if story.threads.len() < MAX_THREADS {
            story.threads.push(kill.task.tid.0);
        }
        if rank(kill) < rank(&story.kill) {
            story.kill = kill.clone();
            story.known = known;
        }
    }

    /// The breaches that a kill names.
    fn named_by(&self, kill: &Kill) -> Vec<Arc<Breach>> {
        let is_named = |seq: Seq| kill.breach == Some(seq) || kill.history.contains(&seq);
        let mut known: Vec<Arc<Breach>> = Vec::new();
        for breach in self.recent.values().flatten() {
            if is_named(breach.seq) && known.iter().all(|it| it.seq != breach.seq) {
                known.push(Arc::clone(breach));
            }
        }
        known
    }
}
