//! What a tracer must not do to a watched CPU: a test for each rule that shows from outside.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    bench::{Bench, Group},
    files::read,
    interrupts::Interrupts,
    load::Load,
    process,
    sys::{self, BpfObject, OpenWatch},
    tracer::Tracer,
    trigger::load,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                "forbidden_ring_wakeup",
                "10,000 records and not one irq_work on the CPU that made them",
            ),
            (
                "forbidden_huge_pages",
                "no huge pages in the tracer's memory: their making calls every CPU",
            ),
            ("forbidden_bpf_statistics", "BPF statistics stay off"),
            (
                "forbidden_affinity",
                "no thread of the tracer may run on a watched CPU",
            ),
            (
                "forbidden_files",
                "the tracer opens no file that makes the kernel call every CPU, while armed",
            ),
            (
                "forbidden_attach_while_armed",
                "the number of BPF programs stands still while armed",
            ),
        ],
        run,
    }
}

const RECORDS: u64 = 10_000;

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let mut calls = Load::start(&bench.guest, load::CALLS, cpu, RECORDS + 1000)?;
    let tracer = Tracer::start::<&str>(&[])?;
    let files = OpenWatch::start(&[
        c"/proc/cpuinfo",
        c"/proc/sys/vm/stat_refresh",
        c"/dev/cpu/0/msr",
        c"/dev/cpu/1/msr",
    ])?;
    let programs = sys::bpf_objects(BpfObject::Program)?;
    bench.guest.wait_quiet()?;
    let before = Interrupts::read()?;
    let done = calls.perform()?;
    thread::sleep(Duration::from_secs(1));
    let after = Interrupts::read()?;
    let pid = tracer.pid()?;
    let huge = process::status(&format!("/proc/{pid}/status"), "THP_enabled");
    let statistics = read("/proc/sys/kernel/bpf_stats_enabled")?;
    let threads = process::affinities(pid)?;
    let opened = files.opened()?;
    let still = sys::bpf_objects(BpfObject::Program)?;
    let log = bench.finish(tracer)?;
    drop(calls);

    let wakeup = || -> Result<String> {
        let records = log.breaches.iter().filter(|one| one.cpu == cpu).count() as u64;
        ensure!(
            records >= RECORDS && done > RECORDS,
            "{records} records only"
        );
        let woken = before.delta(&after, "IWI", cpu);
        ensure!(woken == 0, "{woken} irq_work interrupts");
        Ok(format!("{records} records"))
    };
    let wakeup = wakeup();
    bench.outcome("forbidden_ring_wakeup", wakeup)?;
    let huge = huge.and_then(|huge| {
        ensure!(huge == "0", "THP_enabled is {huge}");
        Ok(String::new())
    });
    bench.outcome("forbidden_huge_pages", huge)?;
    let holds = |holds: bool, otherwise: String| {
        ensure!(holds, otherwise);
        Ok(String::new())
    };
    let off = holds(statistics == "0", format!("they are {statistics}"));
    bench.outcome("forbidden_bpf_statistics", off)?;
    let strays: Vec<_> = threads
        .iter()
        .filter(|(_, cpus)| cpus.iter().any(|cpu| bench.guest.watched.contains(cpu)))
        .collect();
    let affinity = holds(strays.is_empty(), format!("threads may: {strays:?}"))
        .map(|_| format!("{} threads", threads.len()));
    bench.outcome("forbidden_affinity", affinity)?;
    let unopened = holds(!opened, "such a file was opened".to_owned());
    bench.outcome("forbidden_files", unopened)?;
    let same = holds(
        programs == still && programs > 0,
        format!("{programs} programs, then {still}"),
    )
    .map(|_| format!("{programs} programs"));
    bench.outcome("forbidden_attach_while_armed", same)
}
