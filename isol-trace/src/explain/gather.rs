//! From events to reports, with a bound on memory: logs can be gigabytes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::kill_report::{KillReport, rank};
use crate::{
    consume::Consumer,
    event::{
        ids::{Cpu, Pid, Seq, Tid},
        model::{ActivityItem, Breach, Detection, End, Event, Function, Kill, Origin, Sender},
    },
    remedy::Numbers,
};

/// Breaches that are kept of each thread: those that a kill of isol-trace names, and some that came after them.
const RECENT: usize = 16;

/// Processes of which a report is made; of the others only how many there were.
const MAX_STORIES: usize = 256;

/// Threads of one process that are told apart.
const MAX_THREADS: usize = 4096;

/// Bytes that the breaches which are kept may take in all; beyond, those of threads go that were not seen for longest.
/// As many again for those that reports keep. What isol-trace writes takes a few KiB each.
const MEMORY: usize = 32 << 20;

/// Bytes that those of one thread may take.
const SHARE: usize = MEMORY / 8;

/// Takes events in the order of a log.
#[derive(Debug, Default)]
pub struct Gatherer {
    /// The last breaches of each thread: a task that is to die may have to wait while others have thousands.
    recent: HashMap<Tid, Recent>,
    /// Bytes of those.
    kept: usize,
    /// Bytes of the breaches that reports keep.
    kept_bytes: usize,
    reports: Vec<KillReport>,
    /// CPUs of the host that the log was made on.
    host: Numbers,
    /// Watched CPUs on which exceptions other than page faults are not seen.
    blind: Vec<Cpu>,
    /// Those of logs before this one in the same file.
    ended: usize,
    breaches: u64,
    lost: u64,
    omitted: u64,
}

/// What a log tells.
#[derive(Debug, Default)]
pub struct KillReports {
    /// In the order in which the processes were signalled.
    pub reports: Vec<KillReport>,
    /// Signals of further processes, beyond what is kept.
    pub omitted: u64,
    /// Breaches of the log.
    pub breaches: u64,
    /// Records that found no room in it.
    pub lost: u64,
}

impl Consumer for Gatherer {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Header(header) => {
                self.begin();
                self.host = Numbers::of_header(header);
                self.blind = blind(&header.cpus);
            }
            Event::Watched(set) => {
                self.host = self.host.watching(&set.cpus, &set.housekeeping);
                self.blind = blind(&set.cpus);
            }
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
}

impl Gatherer {
    /// The last breach that is kept of a process.
    #[must_use]
    pub fn last_of(&self, pid: Pid) -> Option<Arc<Breach>> {
        let last = self.recent.values().filter_map(|it| it.breaches.back());
        last.filter(|breach| breach.task.pid == Some(pid))
            .max_by_key(|breach| breach.seq)
            .cloned()
    }

    /// The log ends.
    #[must_use]
    pub fn finish(self) -> KillReports {
        KillReports {
            reports: self.reports,
            omitted: self.omitted,
            breaches: self.breaches,
            lost: self.lost,
        }
    }

    /// A log begins: its numbers have nothing to do with those of one before it in the same file.
    fn begin(&mut self) {
        self.recent.clear();
        self.kept = 0;
        self.ended = self.reports.len();
    }

    fn breach(&mut self, breach: &Breach) {
        self.breaches += 1;
        let breach = Arc::new(breach.clone());
        let size = size(&breach);
        for report in self.reports.iter_mut().skip(self.ended) {
            if self.kept_bytes < MEMORY && report.wants(breach.seq) {
                self.kept_bytes += size;
                report.known.push(Arc::clone(&breach));
            }
        }
        let recent = self.recent.entry(breach.task.tid).or_default();
        // A dead thread first makes room.
        recent.seen = if breach.end == End::Exited {
            0
        } else {
            self.breaches
        };
        self.kept -= recent.size;
        recent.put(breach, size);
        self.kept += recent.size;
        while self.kept > MEMORY {
            self.forget();
        }
    }

    /// Forgets half of the threads, so that this need not be done for each breach.
    fn forget(&mut self) {
        let mut seen: Vec<_> = self.recent.values().map(|recent| recent.seen).collect();
        let middle = seen.len() / 2;
        let (_, &mut limit, _) = seen.select_nth_unstable(middle);
        self.recent.retain(|_, recent| recent.seen > limit);
        self.kept = self.recent.values().map(|recent| recent.size).sum();
    }

    fn kill(&mut self, kill: &Kill) {
        let known = self.named_by(kill);
        self.kept_bytes += known.iter().map(|breach| size(breach)).sum::<usize>();
        // A number that comes again is another process by then.
        let same = self
            .reports
            .iter_mut()
            .skip(self.ended)
            .rev()
            .find(|report| {
                let (earlier, came) = (&report.kill, kill);
                earlier.fatal == came.fatal
                    && earlier.task.pid.is_some()
                    && earlier.task.pid == came.task.pid
                    && !(earlier.fatal && report.threads.contains(&came.task.tid.0))
            });
        let Some(report) = same else {
            if self.reports.len() >= MAX_STORIES {
                self.omitted += 1;
                return;
            }
            let mut report = KillReport::of(kill, &self.host);
            report.is_blind = self.blind.contains(&kill.cpu);
            report.known = known;
            self.reports.push(report);
            return;
        };
        if !kill.fatal {
            report.repeats += 1;
            return;
        }
        if report.threads.len() < MAX_THREADS {
            report.threads.push(kill.task.tid.0);
        }
        if rank(kill) < rank(&report.kill) {
            report.kill = kill.clone();
            report.is_blind = self.blind.contains(&kill.cpu);
            report.known = known;
        }
    }

    /// The breaches that a kill names.
    fn named_by(&self, kill: &Kill) -> Vec<Arc<Breach>> {
        if self.kept_bytes >= MEMORY {
            return Vec::new();
        }
        let is_named = |seq: Seq| kill.breach == Some(seq) || kill.history.contains(&seq);
        let mut known: Vec<Arc<Breach>> = Vec::new();
        for breach in self
            .recent
            .get(&kill.task.tid)
            .into_iter()
            .flat_map(|recent| &recent.breaches)
        {
            if is_named(breach.seq) && known.iter().all(|it| it.seq != breach.seq) {
                known.push(Arc::clone(breach));
            }
        }
        known
    }
}

/// The last breaches of a thread.
#[derive(Debug, Default)]
struct Recent {
    breaches: VecDeque<Arc<Breach>>,
    size: usize,
    /// The count of breaches when it had its last one.
    seen: u64,
}

impl Recent {
    /// Adds one of this size, and forgets the oldest where there are too many.
    fn put(&mut self, breach: Arc<Breach>, added: usize) {
        self.size += added;
        self.breaches.push_back(breach);
        while self.breaches.len() > RECENT || self.size > SHARE {
            let Some(oldest) = self.breaches.pop_front() else {
                return;
            };
            self.size = self.size.saturating_sub(size(&oldest));
        }
    }
}

/// Those on which exceptions other than page faults are not seen.
fn blind(cpus: &[(Cpu, Detection)]) -> Vec<Cpu> {
    let blind = cpus.iter().filter(|(_, it)| *it == Detection::Vectors);
    blind.map(|(cpu, _)| *cpu).collect()
}

/// About how many bytes a breach takes.
fn size(breach: &Breach) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
    let sender = |origin: &Origin| {
        let Some(sender) = origin.sender() else {
            return 0;
        };
        let place = |place: &Function| size_of::<Function>() + text(&place.name);
        size_of::<Sender>()
            + sender.task.as_ref().map_or(0, |task| text(&task.comm))
            + sender.callback.as_ref().map_or(0, place)
            + sender.callsite.as_ref().map_or(0, place)
            + sender.stack.iter().map(place).sum::<usize>()
            + frames(&sender.user_stack)
    };
    let activity = |item: &ActivityItem| {
        size_of::<ActivityItem>()
            + text(&item.name)
            + text(&item.comm)
            + item.origin.as_ref().map_or(0, sender)
    };
    size_of::<Breach>()
        + text(&breach.task.comm)
        + text(&breach.cause_name)
        + text(&breach.cause_handler)
        + text(&breach.location)
        + text(&breach.source)
        + frames(&breach.inlined)
        + breach.activities.iter().map(activity).sum::<usize>()
        + breach
            .origins
            .iter()
            .map(|origin| size_of::<Origin>() + sender(origin))
            .sum::<usize>()
}

fn frames(frames: &[Arc<str>]) -> usize {
    frames
        .iter()
        .map(|it| size_of::<Arc<str>>() + it.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::breach::tests::breach;

    fn breaches_of(gatherer: &mut Gatherer, tid: u32, count: u64, text: &str) {
        for _ in 0..count {
            let mut one = breach();
            one.seq = Seq(gatherer.breaches);
            // Two threads a process.
            (one.task.pid, one.task.tid) = (Some(Pid(tid & !1)), Tid(tid));
            // A text of its own each.
            one.location = Some(format!("{text}{tid}").into());
            gatherer.event(&Event::Breach(Box::new(one)));
        }
    }

    fn kept(gatherer: &Gatherer, tid: u32) -> Vec<u64> {
        let recent = gatherer.recent.get(&Tid(tid));
        let breaches = recent.into_iter().flat_map(|recent| &recent.breaches);
        breaches.map(|breach| breach.seq.0).collect()
    }

    #[test]
    fn large_breaches_are_kept_within_a_bound() {
        let mut gatherer = Gatherer::default();
        let huge = "x".repeat(1 << 20);
        for tid in 0..20 {
            breaches_of(&mut gatherer, tid, 10, &huge);
            let all = gatherer.recent.values().flat_map(|recent| &recent.breaches);
            let bytes: usize = all.map(|breach| size(breach)).sum();
            assert_eq!(gatherer.kept, bytes);
            assert!(bytes <= MEMORY);
            assert!(gatherer.recent[&Tid(tid)].size <= SHARE);
            assert_eq!(kept(&gatherer, tid).last(), Some(&(gatherer.breaches - 1)));
        }
        gatherer.begin();
        breaches_of(&mut gatherer, 1, 1, "");
        assert_eq!(gatherer.kept, gatherer.recent[&Tid(1)].size);
    }

    #[test]
    fn breaches_of_others_push_out_none_of_the_task_that_is_to_die() {
        let mut gatherer = Gatherer::default();
        breaches_of(&mut gatherer, 7, 3, "");
        breaches_of(&mut gatherer, 6, 2, "");
        for tid in 10..1_000 {
            breaches_of(&mut gatherer, tid, 20, "");
        }
        assert_eq!(kept(&gatherer, 7), [0, 1, 2]);
        assert_eq!(kept(&gatherer, 10).len(), RECENT);
        let last = gatherer.last_of(Pid(6)).unwrap();
        assert_eq!(
            (last.seq, last.task.tid),
            (Seq(4), Tid(6)),
            "of either thread"
        );
        assert_eq!(gatherer.last_of(Pid(8)), None);
    }

    #[test]
    fn a_dead_thread_makes_room_first() {
        let mut gatherer = Gatherer::default();
        let large = "x".repeat(SHARE / 2);
        let mut tid = 10;
        while gatherer.kept + SHARE < MEMORY {
            breaches_of(&mut gatherer, tid, 1, &large);
            tid += 2;
        }
        let mut last = breach();
        (last.end, last.task.tid) = (End::Exited, Tid(7));
        gatherer.event(&Event::Breach(Box::new(last)));
        assert_eq!(kept(&gatherer, 7).len(), 1);
        // Until others have made room.
        for _ in 0..MEMORY / SHARE {
            if kept(&gatherer, 10).len() == 1 {
                breaches_of(&mut gatherer, tid, 1, &large);
                tid += 2;
            }
        }
        assert_eq!(kept(&gatherer, 10).len(), 0);
        assert_eq!(
            kept(&gatherer, 7).len(),
            0,
            "with those that were not seen for longest"
        );
        assert_eq!(kept(&gatherer, tid - 2).len(), 1);
    }
}
