//! The host changes while the trace runs: nothing is missed, and nothing is booked elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    bench::{Bench, Group},
    files::read,
    guest::{Guest, Setting, skip},
    load::Load,
    log::{Breach, Line, Log, for_each},
    sys,
    tracer::Tracer,
    trigger::load,
};

/// How long a load runs between two changes.
const WHILE: Duration = Duration::from_millis(300);
/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Partitions that come and go.
#[must_use]
pub fn partition() -> Group {
    Group {
        tests: vec![(
            "follow_partition",
            "an isolated partition comes, goes and comes again, under load",
        )],
        run: partitions,
    }
}

/// CPUs that go and come.
#[must_use]
pub fn hotplug() -> Group {
    Group {
        tests: vec![(
            "follow_hotplug",
            "a watched CPU goes offline and comes back, under load",
        )],
        run: hotplugs,
    }
}

/// Tasks that go and come.
#[must_use]
pub fn task() -> Group {
    Group {
        tests: vec![(
            "follow_task",
            "a busy task is moved between watched CPUs and back",
        )],
        run: moves,
    }
}

/// A partition of the last housekeeping CPU.
struct Partition {
    folder: PathBuf,
    parent: PathBuf,
}

impl Partition {
    fn create(cpu: u32) -> Result<Self> {
        let parent = PathBuf::from("/sys/fs/cgroup");
        let control = parent.join("cgroup.subtree_control");
        if !control.exists() {
            return skip("no cgroup v2 at /sys/fs/cgroup");
        }
        if !parent.join("cpuset.cpus.isolated").exists() {
            return skip("before 6.7 a kernel does not say which CPUs its partitions isolate");
        }
        fs::write(&control, "+cpuset").context("cpuset in cgroup.subtree_control")?;
        let folder = parent.join("follow");
        fs::create_dir_all(&folder)?;
        let partition = Self { folder, parent };
        partition.set("cpuset.cpus", &cpu.to_string())?;
        Ok(partition)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, value).with_context(|| format!("{} = {value}", path.display()))
    }

    fn isolate(&self) -> Result<()> {
        self.set("cpuset.cpus.partition", "isolated")?;
        let state = read(self.folder.join("cpuset.cpus.partition"))?;
        ensure!(state == "isolated", "the partition is {state}");
        Ok(())
    }

    fn release(&self) -> Result<()> {
        self.set("cpuset.cpus.partition", "member")
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let _ = self.release();
        if let Ok(members) = fs::read_to_string(self.folder.join("cgroup.procs")) {
            for member in members.lines() {
                let _ = fs::write(self.parent.join("cgroup.procs"), member);
            }
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

fn partitions(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.helper();
    ensure!(bench.guest.housekeeping.len() > 1, "one CPU has to stay");
    let partition = Partition::create(cpu)?;
    let mut busy = busy(&bench.guest)?;
    // Attaching the probes of the other detection takes seconds here, in which nobody drains.
    let tracer = Tracer::start(&["--ring-size", "8M"])?;
    busy.begin()?;
    // Pinned before there is a partition, whose task it then is.
    let mut there = Load::start(&bench.guest, load::PACED_CALLS, cpu, 0)?;
    partition.set("cgroup.procs", &there.pid().to_string())?;
    there.begin()?;
    for round in 1..=2 {
        partition.isolate()?;
        await_change(tracer.log(), cpu, "isolated", round)?;
        thread::sleep(WHILE);
        partition.release()?;
        await_change(tracer.log(), cpu, "released", round)?;
        thread::sleep(WHILE);
    }
    there.stop()?;
    let elsewhere = busy.stop()?;
    let log = bench.finish(tracer)?;
    let outcome = beside(&log, &busy, elsewhere).and_then(|told| {
        let times = visits(&log, cpu, there.pid())?;
        ensure!(
            times.len() == 2,
            "CPU {cpu} was isolated twice, and calls {times:?} are seen"
        );
        let detections = log.changes.iter().flat_map(|change| &change.cpus);
        let of_it: Vec<_> = detections.filter(|one| one.cpu == cpu).collect();
        ensure!(
            of_it.len() == 2 && of_it.iter().all(|one| one.detection == "vectors"),
            "CPU {cpu} is watched as {of_it:?}"
        );
        // Its detection needs probes that were not there: attaching them interrupts all.
        let by_us = |breach: &&Breach| breach.is_by_the_tracer();
        let ours = log.breaches.iter().filter(by_us).count();
        ensure!(
            ours > 0 || !bench.guest.names_calls(),
            "no breach is the tracer's, which attached probes while it was armed"
        );
        Ok(format!(
            "{told}, calls {times:?} on it, {ours} breaches by the tracer"
        ))
    });
    bench.outcome("follow_partition", outcome)
}

fn hotplugs(bench: &mut Bench) -> Result<()> {
    let Some(cpu) = bench.guest.second() else {
        return skip("one watched CPU: none is left when it is offline");
    };
    let online = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    let mut busy = busy(&bench.guest)?;
    let mut there = Load::start(&bench.guest, load::PACED_CALLS, cpu, 0)?;
    let tracer = Tracer::start::<&str>(&[])?;
    busy.begin()?;
    there.begin()?;
    thread::sleep(WHILE);
    let switch = Setting::change(&online, "0")?;
    await_change(tracer.log(), cpu, "offline", 1)?;
    switch.set("1")?;
    await_change(tracer.log(), cpu, "online", 1)?;
    // The kernel has let it run anywhere meanwhile.
    sys::pin(there.pid(), &[cpu])?;
    thread::sleep(WHILE);
    there.stop()?;
    let elsewhere = busy.stop()?;
    let log = bench.finish(tracer)?;
    let outcome = beside(&log, &busy, elsewhere).and_then(|told| {
        let times = visits(&log, cpu, there.pid())?;
        ensure!(
            times.len() == 2 && times[0].0 == 0,
            "CPU {cpu} went and came back, and calls {times:?} are seen"
        );
        let left = log
            .moves
            .iter()
            .any(|it| it.task.tid == there.pid() && it.from == cpu);
        ensure!(left, "the log does not say that the task left CPU {cpu}");
        Ok(format!("{told}, calls {times:?} on it"))
    });
    bench.outcome("follow_hotplug", outcome)
}

fn moves(bench: &mut Bench) -> Result<()> {
    let Some(second) = bench.guest.second() else {
        return skip("one watched CPU: there is nowhere to move to");
    };
    let first = bench.guest.cpu();
    let mut busy = busy(&bench.guest)?;
    let tid = busy.pid();
    let tracer = Tracer::start::<&str>(&[])?;
    busy.begin()?;
    for cpu in [second, first, bench.guest.helper(), first] {
        thread::sleep(WHILE);
        sys::pin(tid, &[cpu])?;
    }
    thread::sleep(WHILE);
    let done = busy.stop()?;
    let log = bench.finish(tracer)?;
    let outcome = moved(&log, tid, done, (first, second, bench.guest.helper()));
    bench.outcome("follow_task", outcome)
}

/// A load on the first watched CPU that goes on until it is told to stop.
fn busy(guest: &Guest) -> Result<Load> {
    Load::start(guest, load::PACED_CALLS, guest.cpu(), 0)
}

/// Waits until the log tells of a change of a CPU for the so manieth time.
fn await_change(log: &Path, cpu: u32, what: &str, times: usize) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let mut seen = 0;
        for_each(log, |_, text| {
            if text.ends_with('}')
                && text.contains("\"watched\"")
                && let Line::Watched(watched) = Line::parse(text)?
            {
                let hits = watched.changes.iter();
                seen += hits
                    .filter(|one| one.cpu == cpu && one.change == what)
                    .count();
            }
            Ok(())
        })?;
        if seen >= times {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the log does not say that CPU {cpu} is {what}")
}

/// How many calls of a thread a CPU had, by the log.
fn calls(log: &Log, cpu: u32, tid: u32) -> u64 {
    let of_it = |breach: &&Breach| {
        breach.cpu == cpu
            && breach.task.tid == tid
            && breach.cause.name.as_deref() == Some("getppid")
    };
    log.breaches.iter().filter(of_it).count() as u64
}

/// Whether every call of the load on the first watched CPU is there, while another one changed.
fn beside(log: &Log, busy: &Load, made: u64) -> Result<String> {
    complete(log)?;
    let first = log.header()?.cpus.first().context("a watched CPU")?.cpu;
    let seen = calls(log, first, busy.pid());
    ensure!(seen == made, "CPU {first}: {seen} calls seen, {made} made");
    Ok(format!("{made} calls beside it"))
}

/// The numbers of a thread's calls that a CPU had, first and last of each row without a gap.
fn visits(log: &Log, cpu: u32, tid: u32) -> Result<Vec<(u64, u64)>> {
    let mut rows: Vec<(u64, u64)> = Vec::new();
    for breach in &log.breaches {
        if (breach.cpu, breach.task.tid) != (cpu, tid)
            || breach.cause.name.as_deref() != Some("getppid")
        {
            continue;
        }
        let first = breach
            .cause
            .args
            .first()
            .context("a call without arguments")?;
        let digits = first.trim_start_matches("0x");
        let number = u64::from_str_radix(digits, 16).with_context(|| first.clone())?;
        match rows.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => rows.push((number, number)),
        }
    }
    Ok(rows)
}

/// Nothing was lost: every count is of records.
fn complete(log: &Log) -> Result<()> {
    let lost: u64 = log.summary()?.cpus.iter().map(|cpu| cpu.lost).sum();
    ensure!(
        lost == 0,
        "{lost} records were lost, nothing can be counted"
    );
    Ok(())
}

/// Whether every call of a task that was moved is there, where it was made: from the first watched
/// CPU to the second and back, to one that is not watched and back.
fn moved(log: &Log, tid: u32, done: u64, cpus: (u32, u32, u32)) -> Result<String> {
    complete(log)?;
    let (first, second, other) = cpus;
    let hops = log.moves.iter().filter(|moved| moved.task.tid == tid);
    let ways: Vec<_> = hops.map(|moved| (moved.from, moved.to)).collect();
    ensure!(
        ways == [
            (first, second),
            (second, first),
            (first, other),
            (other, first)
        ],
        "it was moved {ways:?}"
    );
    let (here, there) = (visits(log, first, tid)?, visits(log, second, tid)?);
    let ([one, two, four], [away]) = (here.as_slice(), there.as_slice()) else {
        bail!("calls {here:?} on CPU {first}, {there:?} on CPU {second}");
    };
    ensure!(
        one.0 == 0 && one.1 + 1 == away.0 && away.1 + 1 == two.0 && two.1 < four.0,
        "calls {here:?} on CPU {first}, {there:?} on CPU {second}"
    );
    ensure!(four.1 + 1 == done, "the last of {done} calls is {}", four.1);
    Ok(format!(
        "calls {here:?} on CPU {first}, {there:?} on {second}"
    ))
}
