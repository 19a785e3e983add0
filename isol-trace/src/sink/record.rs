//! One event as one JSON object: field names and their order as the contract fixes them.
//!
//! What is not known is left out; 0 is written and means zero. Addresses are text.

use super::{
    SCHEMA_NAME,
    encode::{Object, address, number, text},
    time::Calendar,
};
use crate::event::{
    ids::{Cpu, MonoNanos, Nanos, Seq, Tid},
    model::{
        Activity, ActivityItem, Breach, CauseDetail, CauseSummary, CpuSummary, Detection, Header,
        Origin, ProbeState, ProbeVerdict, Summary, TaskId, TracerSummary,
    },
};

/// Writes `time` and `mono_ns`.
fn times(object: &mut Object<'_>, calendar: &mut Calendar, at: MonoNanos) {
    calendar.write(object.member("time"), at);
    object.number("mono_ns", at.0);
}

/// The first line.
pub(super) fn header(out: &mut Vec<u8>, calendar: &mut Calendar, header: &Header) {
    let mut object = Object::begin(out);
    object.word("type", "header");
    object.word("schema", SCHEMA_NAME);
    object.word("version", env!("CARGO_PKG_VERSION"));
    object.text("host", &header.host);
    object.text("kernel", &header.kernel);
    object.text("arch", &header.arch);
    object.array("cpus", &header.cpus, |out, &(cpu, detection)| {
        watched(out, cpu, detection);
    });
    object.array("housekeeping", &header.housekeeping, |out, cpu| {
        number(out, cpu.0.into());
    });
    object.array("probes", &header.probes, probe);
    times(&mut object, calendar, header.at);
    object.array("blind_spots", &header.blind_spots, |out, what| {
        text(out, what);
    });
    object.end();
}

/// A watched CPU of the header.
fn watched(out: &mut Vec<u8>, cpu: Cpu, detection: Detection) {
    let mut object = Object::begin(out);
    object.number("cpu", cpu.0);
    object.word("detection", detection.word());
    object.end();
}

/// A probe of the header.
fn probe(out: &mut Vec<u8>, verdict: &ProbeVerdict) {
    let mut object = Object::begin(out);
    object.text("name", verdict.name);
    match &verdict.state {
        ProbeState::Attached => object.word("state", "attached"),
        ProbeState::Absent { why } => {
            object.word("state", "absent");
            object.text("why", why);
        }
        ProbeState::Failed { why } => {
            object.word("state", "failed");
            object.text("why", why);
        }
    }
    object.end();
}

/// A breach.
pub(super) fn breach(out: &mut Vec<u8>, calendar: &mut Calendar, breach: &Breach) {
    let mut object = Object::begin(out);
    object.word("type", "breach");
    object.number("seq", breach.seq.0);
    times(&mut object, calendar, breach.at);
    object.number("cpu", breach.cpu.0);
    object.known_number("duration_ns", breach.duration.map(|Nanos(ns)| ns));
    object.number("idle_ns", breach.idle.0);
    object.word("end", breach.end.word());
    if let Some(section) = breach.section {
        object.flag("section", section);
    }
    task(object.member("task"), &breach.task);
    cause(object.member("cause"), breach);
    object.address("ip", breach.ip);
    object.known_text("at", breach.location.as_deref());
    object.known_text("source", breach.source.as_deref());
    object.array("activity", &breach.activities, activity);
    object.number("activity_dropped", breach.dropped_activities);
    object.array("origins", &breach.origins, origin);
    object.end();
}

/// A thread.
fn task(out: &mut Vec<u8>, task: &TaskId) {
    let mut object = Object::begin(out);
    object.known_number("pid", task.pid.map(|pid| pid.0));
    object.number("tid", task.tid.0);
    object.known_text("comm", task.comm.as_deref());
    object.end();
}

/// Why the kernel was entered.
fn cause(out: &mut Vec<u8>, breach: &Breach) {
    let name = breach.cause_name.as_deref();
    let handler_name = breach.cause_handler.as_deref();
    let mut object = Object::begin(out);
    object.word("kind", breach.cause.cause().word());
    match &breach.cause {
        CauseDetail::Syscall { number, args } => {
            object.known_number("nr", *number);
            object.known_text("name", name);
            if let Some(args) = args {
                object.array("args", args, |out, &arg| address(out, arg));
            }
        }
        CauseDetail::PageFault {
            address,
            write,
            user,
            fetch,
            protection,
        } => {
            object.address("address", *address);
            object.flag("write", *write);
            object.flag("user", *user);
            object.flag("fetch", *fetch);
            object.flag("protection", *protection);
            object.known_text("name", name);
        }
        CauseDetail::Exception { trap } => {
            object.known_text("name", name);
            object.known_number("trap", *trap);
        }
        CauseDetail::DeviceIrq { irq, .. } => {
            object.number("irq", *irq);
            object.known_text("name", name);
            object.known_text("handler", handler_name);
        }
        CauseDetail::Nmi { .. } => {
            object.known_text("name", name);
            object.known_text("handler", handler_name);
        }
        CauseDetail::Plain(_) => object.known_text("name", name),
    }
    object.known_number("net_ns", breach.cause_net.map(|Nanos(ns)| ns));
    object.end();
}

/// What the kernel then did.
fn activity(out: &mut Vec<u8>, item: &ActivityItem) {
    let mut object = Object::begin(out);
    object.word("kind", item.kind.word());
    object.known_text("name", item.name.as_deref());
    object.known_number("net_ns", item.net.map(|Nanos(ns)| ns));
    match item.kind {
        Activity::Irq => object.number("irq", item.number),
        Activity::Switch => {
            object.number("tid", item.number);
            object.known_text("comm", item.comm.as_deref());
        }
        Activity::Signal => object.number("signal", item.number),
        _ => {}
    }
    // A function that has a name needs no address; the address of a fault is what it is about.
    if let Some(subject) = item.address
        && (item.name.is_none() || item.kind == Activity::Fault)
    {
        object.address("address", subject);
    }
    object.end();
}

/// Who provoked it.
fn origin(out: &mut Vec<u8>, origin: &Origin) {
    let mut object = Object::begin(out);
    object.word("kind", origin.word());
    object.end();
}

/// A victim is back in user mode.
pub(super) fn back(out: &mut Vec<u8>, breach: Option<Seq>, away: Nanos, at: MonoNanos, tid: Tid) {
    let mut object = Object::begin(out);
    object.word("type", "back");
    object.known_number("breach", breach.map(|seq| seq.0));
    object.number("away_ns", away.0);
    object.number("mono_ns", at.0);
    object.number("tid", tid.0);
    object.end();
}

/// Records that did not fit the ring.
pub(super) fn lost(out: &mut Vec<u8>, cpu: Cpu, records: u64, at: MonoNanos) {
    let mut object = Object::begin(out);
    object.word("type", "lost");
    object.number("cpu", cpu.0);
    object.number("records", records);
    object.number("mono_ns", at.0);
    object.end();
}

/// The last line.
pub(super) fn summary(out: &mut Vec<u8>, summary: &Summary) {
    let mut object = Object::begin(out);
    object.word("type", "summary");
    object.number("mono_ns", summary.at.0);
    object.array("cpus", &summary.cpus, cpu_summary);
    tracer(object.member("tracer"), &summary.tracer);
    object.end();
}

/// Totals of a CPU.
fn cpu_summary(out: &mut Vec<u8>, cpu: &CpuSummary) {
    let mut object = Object::begin(out);
    object.number("cpu", cpu.cpu.0);
    object.number("entries", cpu.entries);
    object.number("attributed", cpu.attributed);
    object.number("unattributed", cpu.unattributed);
    object.number("filtered", cpu.filtered);
    object.number("lost", cpu.lost);
    object.number("open", cpu.open);
    object.number("kernel_ns", cpu.kernel.0);
    object.number("idle_ns", cpu.idle.0);
    object.number("max_ns", cpu.max.0);
    object.number("away_ns", cpu.away.0);
    let mut causes = Object::begin(object.member("causes"));
    for summary in &cpu.causes {
        cause_summary(causes.member(summary.cause.word()), summary);
    }
    causes.end();
    object.end();
}

/// Totals of a cause.
fn cause_summary(out: &mut Vec<u8>, cause: &CauseSummary) {
    let mut object = Object::begin(out);
    object.number("count", cause.count);
    object.number("total_ns", cause.total.0);
    object.number("max_ns", cause.max.0);
    object.known_number("p50_ns", cause.p50.map(|Nanos(ns)| ns));
    object.known_number("p99_ns", cause.p99.map(|Nanos(ns)| ns));
    object.end();
}

/// What the tracer itself cost.
fn tracer(out: &mut Vec<u8>, tracer: &TracerSummary) {
    let mut object = Object::begin(out);
    object.number("breaches", tracer.breaches);
    object.known_number("attach_breaches", tracer.attach_breaches);
    object.known_number("detach_breaches", tracer.detach_breaches);
    let mut missed = Object::begin(object.member("missed_runs"));
    for (program, runs) in &tracer.missed_runs {
        missed.named_number(program, *runs);
    }
    missed.end();
    if let Some(programs) = &tracer.programs {
        object.array("programs", programs, |out, program| {
            let mut item = Object::begin(out);
            item.text("name", &program.name);
            item.number("runs", program.runs);
            item.number("run_ns", program.run.0);
            item.end();
        });
    }
    object.end();
}
