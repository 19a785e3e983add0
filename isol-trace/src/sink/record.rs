//! One event as one JSON object: field names and their order as the contract fixes them.
//!
//! What is not known is left out; 0 is written and means zero. Addresses are text.

use super::{
    SCHEMA_NAME,
    encode::{Key, Object, address, key, number, text},
};
use crate::{
    clock::calendar::Calendar,
    event::{
        ids::{Address, Cpu, MonoNanos, Nanos, RuleId, Seq, Tid},
        model::{
            Activity, ActivityItem, Breach, Cause, CauseDetail, Detection, Function, Header, Kill,
            KilledBy, Origin, ProbeState, ProbeVerdict, Signaller, TaskId, Unlogged, WatchedSet,
        },
    },
};

/// Writes `time` and `mono_ns`.
fn times(object: &mut Object<'_>, calendar: &mut Calendar, at: MonoNanos) {
    let out = object.member(key!("time"));
    out.push(b'"');
    calendar.write(out, at);
    out.push(b'"');
    object.number(key!("mono_ns"), at.0);
}

/// The first line.
pub(crate) fn header(out: &mut Vec<u8>, calendar: &mut Calendar, header: &Header) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "header");
    object.word(key!("schema"), SCHEMA_NAME);
    object.word(key!("version"), env!("CARGO_PKG_VERSION"));
    object.text(key!("host"), &header.host);
    object.text(key!("kernel"), &header.kernel);
    object.text(key!("arch"), &header.arch);
    cpus(&mut object, &header.cpus, &header.housekeeping);
    object.array(key!("probes"), &header.probes, probe);
    times(&mut object, calendar, header.at);
    texts(&mut object, key!("blind_spots"), &header.blind_spots);
    if let Some(is_built) = header.no_hz_full {
        object.flag(key!("no_hz_full"), is_built);
    }
    object.end();
}

/// Writes which CPUs are watched, and which others there are.
fn cpus(object: &mut Object<'_>, watched: &[(Cpu, Detection)], housekeeping: &[Cpu]) {
    object.array(key!("cpus"), watched, |out, &(cpu, detection)| {
        let mut object = Object::begin(out);
        object.number(key!("cpu"), cpu.0);
        object.word(key!("detection"), detection.word());
        object.end();
    });
    object.array(key!("housekeeping"), housekeeping, |out, cpu| {
        number(out, cpu.0.into());
    });
}

/// Writes an array of texts.
fn texts<T: AsRef<str>>(object: &mut Object<'_>, key: Key, all: &[T]) {
    object.array(key, all, |out, one| text(out, one.as_ref()));
}

/// A probe and its verdict.
fn probe(out: &mut Vec<u8>, verdict: &ProbeVerdict) {
    let mut object = Object::begin(out);
    object.text(key!("name"), &verdict.name);
    match &verdict.state {
        ProbeState::Attached => object.word(key!("state"), "attached"),
        ProbeState::Absent { why } => {
            object.word(key!("state"), "absent");
            object.text(key!("why"), why);
        }
        ProbeState::Failed { why } => {
            object.word(key!("state"), "failed");
            object.text(key!("why"), why);
        }
    }
    object.end();
}

/// A breach.
pub(crate) fn breach(out: &mut Vec<u8>, calendar: &mut Calendar, breach: &Breach) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "breach");
    object.number(key!("seq"), breach.seq.0);
    times(&mut object, calendar, breach.at);
    object.number(key!("cpu"), breach.cpu.0);
    object.known_number(key!("duration_ns"), breach.duration.map(|Nanos(ns)| ns));
    object.number(key!("idle_ns"), breach.idle.0);
    object.word(key!("end"), breach.end.word());
    if let Some(section) = breach.section {
        object.flag(key!("section"), section);
    }
    task(object.member(key!("task")), &breach.task);
    cause(object.member(key!("cause")), breach);
    object.address(key!("ip"), breach.ip);
    object.known_text(key!("at"), breach.location.as_deref());
    object.known_text(key!("source"), breach.source.as_deref());
    if !breach.inlined.is_empty() {
        texts(&mut object, key!("inlined"), &breach.inlined);
    }
    object.array(key!("activity"), &breach.activities, |out, item| {
        activity(out, item, breach.cause.cause());
    });
    object.number(key!("activity_dropped"), breach.dropped_activities);
    object.array(key!("origins"), &breach.origins, |out, one| {
        origin(out, one, breach.cause.cause());
    });
    let remedy = breach.remedy.as_ref().map(RuleId::as_str);
    object.known_text(key!("remedy"), remedy);
    object.end();
}

/// A thread.
fn task(out: &mut Vec<u8>, task: &TaskId) {
    let mut object = Object::begin(out);
    object.known_number(key!("pid"), task.pid.map(|pid| pid.0));
    object.number(key!("tid"), task.tid.0);
    object.known_text(key!("comm"), task.comm.as_deref());
    object.end();
}

/// Why the kernel was entered.
fn cause(out: &mut Vec<u8>, breach: &Breach) {
    cause_members(
        out,
        &breach.cause,
        breach.cause_name.as_deref(),
        breach.cause_handler.as_deref(),
        breach.cause_net,
    );
}

fn cause_members(
    out: &mut Vec<u8>,
    cause: &CauseDetail,
    name: Option<&str>,
    handler_name: Option<&str>,
    net: Option<Nanos>,
) {
    let mut object = Object::begin(out);
    object.word(key!("kind"), cause.cause().word());
    match cause {
        CauseDetail::Syscall { number, args } => {
            object.known_number(key!("nr"), *number);
            object.known_text(key!("name"), name);
            if let Some(args) = args {
                object.array(key!("args"), args, |out, &arg| address(out, arg));
            }
        }
        CauseDetail::CompatSyscall { number } => {
            object.known_number(key!("nr"), Some(*number));
            object.known_text(key!("name"), name);
            object.flag(key!("compat"), true);
        }
        CauseDetail::PageFault {
            address,
            write,
            user,
            fetch,
            protection,
        } => {
            object.address(key!("address"), *address);
            object.flag(key!("write"), *write);
            object.flag(key!("user"), *user);
            object.flag(key!("fetch"), *fetch);
            object.flag(key!("protection"), *protection);
            object.known_text(key!("name"), name);
        }
        CauseDetail::Exception { trap } => {
            object.known_text(key!("name"), name);
            object.known_number(key!("trap"), *trap);
        }
        CauseDetail::DeviceIrq { irq, .. } => {
            object.number(key!("irq"), *irq);
            object.known_text(key!("name"), name);
            object.known_text(key!("handler"), handler_name);
        }
        CauseDetail::Nmi { .. } => {
            object.known_text(key!("name"), name);
            object.known_text(key!("handler"), handler_name);
        }
        CauseDetail::Plain(_) => object.known_text(key!("name"), name),
    }
    object.known_number(key!("net_ns"), net.map(|Nanos(ns)| ns));
    object.end();
}

/// What the kernel then did.
fn activity(out: &mut Vec<u8>, item: &ActivityItem, cause: Cause) {
    let mut object = Object::begin(out);
    object.word(key!("kind"), item.kind.word());
    object.known_text(key!("name"), item.name.as_deref());
    object.known_number(key!("net_ns"), item.net.map(|Nanos(ns)| ns));
    match item.kind {
        Activity::Irq => object.number(key!("irq"), item.number),
        Activity::Switch => {
            object.number(key!("tid"), item.number);
            object.known_text(key!("comm"), item.comm.as_deref());
            if let Some(kin) = &item.kin {
                object.number(key!("pid"), kin.pid.0);
                if kin.worker {
                    object.flag(key!("worker"), true);
                }
                if let Some((pid, comm)) = &kin.parent {
                    let mut parent = Object::begin(object.member(key!("parent")));
                    parent.number(key!("pid"), pid.0);
                    parent.text(key!("comm"), comm);
                    parent.end();
                }
            }
        }
        Activity::Signal => object.number(key!("signal"), item.number),
        _ => {}
    }
    // A function that has a name needs no address; the address of a fault is what it is about.
    if let Some(subject) = item.address
        && (item.name.is_none() || item.kind == Activity::Fault)
    {
        object.address(key!("address"), subject);
    }
    if let Some(asked) = &item.origin {
        origin(object.member(key!("origin")), asked, cause);
    }
    object.end();
}

/// Who provoked it.
fn origin(out: &mut Vec<u8>, origin: &Origin, cause: Cause) {
    let mut object = Object::begin(out);
    object.word(key!("kind"), origin.word());
    if let Some(sender) = origin.sender() {
        object.known_number(key!("cpu"), sender.cpu.map(|cpu| cpu.0));
        if let Some(task) = &sender.task {
            object.known_number(key!("pid"), task.pid.map(|pid| pid.0));
            object.number(key!("tid"), task.tid.0);
            object.known_text(key!("comm"), task.comm.as_deref());
        }
        object.word(key!("via"), sender.via_word(cause));
        object.known_number(key!("mono_ns"), sender.at.map(|at| at.0));
        if let Some(callback) = &sender.callback {
            function(object.member(key!("callback")), callback);
        }
        if let Some(callsite) = &sender.callsite {
            function(object.member(key!("callsite")), callsite);
        }
        if !sender.stack.is_empty() {
            object.array(key!("stack"), &sender.stack, function);
        }
        if !sender.user_stack.is_empty() {
            texts(&mut object, key!("user_stack"), &sender.user_stack);
        }
        object.flag(key!("inferred"), sender.inferred);
    }
    object.end();
}

/// A place in the kernel by its name, or by its address where it has none.
fn function(out: &mut Vec<u8>, function: &Function) {
    match &function.name {
        Some(name) => text(out, name),
        None => address(out, function.address.map_or(0, |Address(value)| value)),
    }
}

/// A task is back in user mode.
pub(crate) fn back(out: &mut Vec<u8>, breach: Option<Seq>, away: Nanos, at: MonoNanos, tid: Tid) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "back");
    object.known_number(key!("breach"), breach.map(|seq| seq.0));
    object.number(key!("away_ns"), away.0);
    object.number(key!("mono_ns"), at.0);
    object.number(key!("tid"), tid.0);
    object.end();
}

/// Records that did not fit the ring.
pub(crate) fn lost(out: &mut Vec<u8>, cpu: Cpu, records: u64, at: MonoNanos) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "lost");
    object.number(key!("cpu"), cpu.0);
    object.number(key!("records"), records);
    object.number(key!("mono_ns"), at.0);
    object.end();
}

/// The watched set is another one.
pub(crate) fn watched_set(out: &mut Vec<u8>, calendar: &mut Calendar, set: &WatchedSet) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "watched");
    times(&mut object, calendar, set.at);
    object.array(key!("changes"), &set.changes, |out, &(cpu, change)| {
        let mut object = Object::begin(out);
        object.number(key!("cpu"), cpu.0);
        object.word(key!("change"), change.word());
        object.end();
    });
    cpus(&mut object, &set.cpus, &set.housekeeping);
    object.array(key!("probes"), &set.probes, probe);
    texts(&mut object, key!("blind_spots"), &set.blind_spots);
    object.end();
}

/// A task goes to another CPU.
pub(crate) fn moved(
    out: &mut Vec<u8>,
    calendar: &mut Calendar,
    who: &TaskId,
    from: Cpu,
    to: Cpu,
    at: MonoNanos,
) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "moved");
    times(&mut object, calendar, at);
    task(object.member(key!("task")), who);
    object.number(key!("from"), from.0);
    object.number(key!("to"), to.0);
    object.end();
}

/// A signal that ended a task, or that strict mode raised.
pub(crate) fn kill(out: &mut Vec<u8>, calendar: &mut Calendar, kill: &Kill) {
    let mut object = Object::begin(out);
    object.word(key!("type"), "kill");
    times(&mut object, calendar, kill.at);
    object.number(key!("cpu"), kill.cpu.0);
    task(object.member(key!("task")), &kill.task);
    if kill.of_command {
        object.flag(key!("of_command"), true);
    }
    object.number(key!("signal"), kill.signal.number());
    object.text(key!("name"), &kill.signal.name());
    object.flag(key!("fatal"), kill.fatal);
    object.word(key!("by"), kill.by.word());
    if let KilledBy::Remote(Signaller { cpu, task }) = &kill.by {
        let mut sender = Object::begin(object.member(key!("sender")));
        sender.number(key!("cpu"), cpu.0);
        sender.known_number(key!("pid"), task.pid.map(|pid| pid.0));
        sender.number(key!("tid"), task.tid.0);
        sender.known_text(key!("comm"), task.comm.as_deref());
        sender.end();
    }
    if let Some(code) = kill.code {
        object.integer(key!("code"), code);
    }
    object.known_number(key!("breach"), kill.breach.map(|seq| seq.0));
    object.array(key!("history"), &kill.history, |out, seq| {
        number(out, seq.0);
    });
    if let Some(entry) = &kill.entry {
        unlogged(object.member(key!("entry")), entry);
    }
    if !kill.unlogged.is_empty() {
        object.array(key!("unlogged"), &kill.unlogged, unlogged);
    }
    texts(&mut object, key!("user_stack"), &kill.user_stack);
    object.end();
}

/// An entry that is known without its record.
fn unlogged(out: &mut Vec<u8>, entry: &Unlogged) {
    let mut object = Object::begin(out);
    object.number(key!("mono_ns"), entry.at.0);
    object.known_number(key!("duration_ns"), entry.duration.map(|Nanos(ns)| ns));
    cause_members(
        object.member(key!("cause")),
        &entry.cause,
        entry.cause_name.as_deref(),
        None,
        None,
    );
    object.address(key!("ip"), entry.ip);
    object.known_text(key!("at"), entry.location.as_deref());
    object.known_text(key!("source"), entry.source.as_deref());
    object.end();
}
