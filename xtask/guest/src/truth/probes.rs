//! Whether each attached probe was seen at work: a test for after all others.

use anyhow::Result;

use super::{
    bench::{Bench, Group},
    guest::{Setting, skip},
    load::Load,
    results::Verdict,
    sys,
    tracer::Tracer,
    trigger::load,
};

/// The group: to be run last, and only after all others is it fair.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![(
            "probes",
            "each attached probe is proved by a hit in some log",
        )],
        run,
    }
}

fn run(bench: &mut Bench) -> Result<()> {
    if !bench.wants_all() {
        return skip("only a run of all tests brings every probe to a hit");
    }
    count_runs(bench)?;
    let hits = bench.hits.clone();
    let mut open = Vec::new();
    let mut proved = 0;
    for (name, probe) in hits.probes() {
        let verdict = hits.judge(probe);
        match &verdict {
            Verdict::Fail(why) => open.push(format!("{name}: {why}")),
            Verdict::Pass(_) => proved += 1,
            Verdict::Skip(_) => {}
        }
        bench.probe(name, &verdict)?;
    }
    let verdict = match Verdict::of_problems(&open) {
        Verdict::Pass(_) if proved == 0 => Verdict::Fail("no probe was proved".to_owned()),
        Verdict::Pass(_) => Verdict::Pass(format!("{proved} probes")),
        other => other,
    };
    bench.verdict("probes", &verdict)
}

/// Programs that leave no trace in a log are proved by the kernel's count of their runs.
fn count_runs(bench: &mut Bench) -> Result<()> {
    let _statistics = Setting::change("/proc/sys/kernel/bpf_stats_enabled", "1")?;
    let cpu = bench.guest.cpu();
    let tracer = Tracer::start::<&str>(&[])?;
    // Its start alone moves it to the watched CPU, and reading the statistics calls that CPU.
    let load = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    std::fs::read("/proc/sys/vm/stat_refresh")?;
    bench.hits.ran(sys::bpf_runs()?);
    drop(load);
    bench.finish(tracer)?;
    Ok(())
}
