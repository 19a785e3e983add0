//! The last line of a log: its fields as the contract fixes them.

use super::encode::{Object, key, number};
use crate::event::{
    ids::Nanos,
    summary::{CauseSummary, CpuSummary, Summary, TracerSummary},
};

/// The last line.
pub(crate) fn summary(out: &mut Vec<u8>, summary: &Summary) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "summary");
    object.number(key!("mono_ns"), summary.at.0);
    object.array(key!("cpus"), &summary.cpus, cpu_summary);
    tracer(object.member(key!("tracer")), &summary.tracer);
    object.end();
}

/// Totals of a CPU.
fn cpu_summary(out: &mut Vec<u8>, cpu: &CpuSummary) {
    let mut object = Object::begin(out);
    object.number(key!("cpu"), cpu.cpu.0);
    object.number(key!("entries"), cpu.entries);
    object.number(key!("attributed"), cpu.attributed);
    object.number(key!("unattributed"), cpu.unattributed);
    object.number(key!("filtered"), cpu.filtered);
    object.number(key!("lost"), cpu.lost);
    object.number(key!("open"), cpu.open);
    object.known_number(key!("kernel_ns"), cpu.kernel.map(|Nanos(ns)| ns));
    object.number(key!("idle_ns"), cpu.idle.0);
    object.known_number(key!("max_ns"), cpu.max.map(|Nanos(ns)| ns));
    object.number(key!("away_ns"), cpu.away.0);
    object.known_number(key!("defects"), cpu.defects);
    let mut causes = Object::begin(object.member(key!("causes")));
    for summary in &cpu.causes {
        cause_summary(causes.member_named(summary.cause.word()), summary);
    }
    causes.end();
    object.end();
}

/// Totals of a cause.
fn cause_summary(out: &mut Vec<u8>, cause: &CauseSummary) {
    let mut object = Object::begin(out);
    object.number(key!("count"), cause.count);
    object.known_number(key!("total_ns"), cause.total.map(|Nanos(ns)| ns));
    object.known_number(key!("max_ns"), cause.max.map(|Nanos(ns)| ns));
    object.known_number(key!("p50_ns"), cause.p50.map(|Nanos(ns)| ns));
    object.known_number(key!("p99_ns"), cause.p99.map(|Nanos(ns)| ns));
    object.end();
}

/// What the tracer itself cost.
fn tracer(out: &mut Vec<u8>, tracer: &TracerSummary) {
    let mut object = Object::begin(out);
    object.number(key!("breaches"), tracer.breaches);
    object.known_number(key!("attach_breaches"), tracer.attach_breaches);
    object.known_number(key!("detach_breaches"), tracer.detach_breaches);
    object.known_number(key!("lost_senders"), tracer.lost_senders);
    object.known_number(key!("lost_user_stacks"), tracer.lost_user_stacks);
    let mut missed = Object::begin(object.member(key!("missed_runs")));
    for (program, runs) in &tracer.missed_runs {
        number(missed.member_named(program), *runs);
    }
    missed.end();
    if let Some(programs) = &tracer.programs {
        object.array(key!("programs"), programs, |out, program| {
            let mut item = Object::begin(out);
            item.text(key!("name"), &program.name);
            item.number(key!("runs"), program.runs);
            item.number(key!("run_ns"), program.run.0);
            item.end();
        });
    }
    object.end();
}
