//! Events as records: what of them a log holds.

mod summary;

use isol_trace_common::{activity, cause};

use super::{
    SCHEMA_NAME,
    model::{
        Activity, Back, Breach, Cause, Change, Header, Kill, Lost, Moved, Origin, Parent, Probe,
        Record, Remedy, Sender, Task, Unlogged, Watched, WatchedCpu,
    },
    value::{Count, Number, Place, Text},
    word::{OriginKind, ProbeStateKind, Raiser, Word},
};
use crate::{
    clock::calendar::Calendar,
    event::{
        ids::{Address, Cpu, Nanos, RuleId, Tid},
        model::{
            self as event, CauseDetail, Detection, Event, Function, KilledBy, ProbeState,
            Signaller, TaskId,
        },
    },
    remedy,
};

impl<'a> Record<'a> {
    /// The record of an event, with the time that `calendar` has for it.
    pub(crate) fn of(event: &'a Event, calendar: &'a mut Calendar) -> Self {
        match event {
            Event::Header(header) => Self::Header(header_record(header, calendar)),
            Event::Breach(breach) => Self::Breach(breach_record(breach, calendar)),
            &Event::Back {
                breach,
                away,
                at,
                tid,
            } => Self::Back(Back {
                breach,
                away_ns: away,
                mono_ns: at,
                tid,
            }),
            &Event::Lost { cpu, records, at } => Self::Lost(Lost {
                cpu,
                records: Count(records),
                mono_ns: at,
            }),
            Event::Watched(set) => Self::Watched(watched_record(set, calendar)),
            Event::Moved { task, from, to, at } => Self::Moved(Moved {
                time: Some(calendar.text(*at).into()),
                mono_ns: *at,
                task: task.into(),
                from: *from,
                to: *to,
            }),
            Event::Kill(kill) => Self::Kill(kill_record(kill, calendar)),
            Event::Summary(summary) => Self::Summary(summary.into()),
        }
    }
}

fn header_record<'a>(header: &'a event::Header, calendar: &'a mut Calendar) -> Header<'a> {
    Header {
        schema: SCHEMA_NAME.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        host: header.host.as_str().into(),
        kernel: header.kernel.as_str().into(),
        arch: header.arch.as_str().into(),
        cpus: header.cpus.iter().map(Into::into).collect(),
        housekeeping: header.housekeeping.clone(),
        probes: header.probes.iter().map(Into::into).collect(),
        time: calendar.text(header.at).into(),
        mono_ns: header.at,
        blind_spots: texts(&header.blind_spots),
        no_hz_full: header.no_hz_full,
    }
}

fn watched_record<'a>(set: &'a event::WatchedSet, calendar: &'a mut Calendar) -> Watched<'a> {
    let change = |&(cpu, change): &_| Change {
        cpu,
        change: Word(change),
    };
    Watched {
        time: Some(calendar.text(set.at).into()),
        mono_ns: set.at,
        changes: set.changes.iter().map(change).collect(),
        cpus: set.cpus.iter().map(Into::into).collect(),
        housekeeping: set.housekeeping.clone(),
        probes: set.probes.iter().map(Into::into).collect(),
        blind_spots: texts(&set.blind_spots),
    }
}

fn breach_record<'a>(breach: &'a event::Breach, calendar: &'a mut Calendar) -> Breach<'a> {
    let cause = breach.cause.cause();
    Breach {
        seq: breach.seq,
        time: Some(calendar.text(breach.at).into()),
        mono_ns: breach.at,
        cpu: breach.cpu,
        duration_ns: breach.duration,
        idle_ns: Some(breach.idle),
        end: Word(breach.end),
        section: breach.section,
        task: (&breach.task).into(),
        cause: cause_record(
            &breach.cause,
            breach.cause_name.as_deref(),
            breach.cause_handler.as_deref(),
            breach.cause_net,
        ),
        ip: breach.ip,
        at: breach.location.as_deref().map(Into::into),
        source: breach.source.as_deref().map(Into::into),
        inlined: texts(&breach.inlined),
        activity: breach
            .activities
            .iter()
            .map(|item| activity_record(item, cause))
            .collect(),
        activity_dropped: Some(breach.dropped_activities),
        origins: breach
            .origins
            .iter()
            .map(|origin| origin_record(origin, cause))
            .collect(),
        remedy: breach.remedy.as_ref().map(|rule| rule.as_str().into()),
    }
}

fn cause_record<'a>(
    detail: &CauseDetail,
    name: Option<&'a str>,
    handler: Option<&'a str>,
    net: Option<Nanos>,
) -> Cause<'a> {
    let mut cause = Cause {
        kind: Word(detail.cause()),
        nr: None,
        address: None,
        write: None,
        user: None,
        fetch: None,
        protection: None,
        irq: None,
        name: name.map(Into::into),
        args: None,
        compat: None,
        trap: None,
        handler: None,
        net_ns: net,
    };
    match *detail {
        CauseDetail::Syscall { number, args } => {
            cause.nr = number.map(Number);
            cause.args = args.map(|args| args.map(Address));
        }
        CauseDetail::CompatSyscall { number } => {
            cause.nr = Some(Number(number));
            cause.compat = Some(true);
        }
        CauseDetail::PageFault {
            address,
            write,
            user,
            fetch,
            protection,
        } => {
            cause.address = Some(address);
            cause.write = Some(write);
            cause.user = Some(user);
            cause.fetch = Some(fetch);
            cause.protection = Some(protection);
        }
        CauseDetail::Exception { trap } => cause.trap = trap.map(Number),
        CauseDetail::DeviceIrq { irq, .. } => {
            cause.irq = Some(Number(irq));
            cause.handler = handler.map(Into::into);
        }
        CauseDetail::Nmi { .. } => cause.handler = handler.map(Into::into),
        CauseDetail::Plain(_) => {}
    }
    cause
}

fn activity_record(item: &event::ActivityItem, cause: cause::Cause) -> Activity<'_> {
    let mut activity = Activity {
        kind: Word(item.kind),
        name: item.name.as_deref().map(Into::into),
        net_ns: item.net,
        irq: None,
        tid: None,
        comm: None,
        pid: None,
        worker: None,
        parent: None,
        signal: None,
        // A function that has a name needs no address; the address of a fault is what it is about.
        address: item
            .address
            .filter(|_| item.name.is_none() || item.kind == activity::Activity::Fault),
        origin: item
            .origin
            .as_ref()
            .map(|origin| Box::new(origin_record(origin, cause))),
    };
    match item.kind {
        activity::Activity::Irq => activity.irq = Some(Number(item.number)),
        activity::Activity::Switch => {
            activity.tid = Some(Tid(item.number));
            activity.comm = item.comm.as_deref().map(Into::into);
            if let Some(kin) = &item.kin {
                activity.pid = Some(kin.pid);
                activity.worker = kin.worker.then_some(true);
                activity.parent = kin.parent.as_ref().map(|(pid, comm)| Parent {
                    pid: *pid,
                    comm: (&**comm).into(),
                });
            }
        }
        activity::Activity::Signal => activity.signal = Some(Number(item.number)),
        _ => {}
    }
    activity
}

/// `cause` is the breach's: it says by which interrupt a cross-call came.
fn origin_record(origin: &event::Origin, cause: cause::Cause) -> Origin<'_> {
    let kind = match origin {
        event::Origin::Task => OriginKind::Task,
        event::Origin::Remote(_) => OriginKind::Remote,
        event::Origin::Device => OriginKind::Device,
        event::Origin::Kernel(_) => OriginKind::Kernel,
        event::Origin::Tracer(_) => OriginKind::Tracer,
        event::Origin::Unknown => OriginKind::Unknown,
    };
    let sender = origin.sender();
    let task = sender.and_then(|sender| sender.task.as_ref());
    Origin {
        kind: Word(kind),
        cpu: sender.and_then(|sender| sender.cpu),
        pid: task.and_then(|task| task.pid),
        tid: task.map(|task| task.tid),
        comm: task.and_then(|task| task.comm.as_deref()).map(Into::into),
        via: sender.map(|sender| sender.via_word(cause).into()),
        mono_ns: sender.and_then(|sender| sender.at),
        callback: sender
            .and_then(|sender| sender.callback.as_ref())
            .map(Into::into),
        callsite: sender
            .and_then(|sender| sender.callsite.as_ref())
            .map(Into::into),
        stack: sender
            .into_iter()
            .flat_map(|sender| &sender.stack)
            .map(Into::into)
            .collect(),
        user_stack: sender.map_or_else(Default::default, |sender| texts(&sender.user_stack)),
        inferred: sender.map(|sender| sender.inferred),
    }
}

fn kill_record<'a>(kill: &'a event::Kill, calendar: &'a mut Calendar) -> Kill<'a> {
    let by = match &kill.by {
        KilledBy::StrictMode => Raiser::StrictMode,
        KilledBy::Tracer => Raiser::Tracer,
        KilledBy::Task => Raiser::Task,
        KilledBy::Remote(_) => Raiser::Remote,
        KilledBy::Kernel => Raiser::Kernel,
        KilledBy::Unknown => Raiser::Unknown,
    };
    let sender = match &kill.by {
        KilledBy::Remote(Signaller { cpu, task }) => Some(Sender {
            cpu: *cpu,
            pid: task.pid,
            tid: task.tid,
            comm: task.comm.as_deref().map(Into::into),
        }),
        _ => None,
    };
    Kill {
        time: Some(calendar.text(kill.at).into()),
        mono_ns: kill.at,
        cpu: kill.cpu,
        task: (&kill.task).into(),
        of_command: kill.of_command.then_some(true),
        signal: Number(kill.signal.number()),
        name: Some(kill.signal.name().into()),
        fatal: Some(kill.fatal),
        by: Word(by),
        sender,
        code: kill.code,
        breach: kill.breach,
        history: kill.history.iter().copied().collect(),
        entry: kill.entry.as_ref().map(Into::into),
        unlogged: kill.unlogged.iter().map(Into::into).collect(),
        user_stack: texts(&kill.user_stack),
    }
}

/// Texts, each borrowed.
fn texts<'a, T: AsRef<str>, L: FromIterator<Text<'a>>>(all: &'a [T]) -> L {
    all.iter().map(|text| text.as_ref().into()).collect()
}

impl From<&(Cpu, Detection)> for WatchedCpu {
    fn from(&(cpu, detection): &(Cpu, Detection)) -> Self {
        Self {
            cpu,
            detection: Word(detection),
        }
    }
}

impl<'a> From<&'a event::ProbeVerdict> for Probe<'a> {
    fn from(verdict: &'a event::ProbeVerdict) -> Self {
        let (state, why) = match &verdict.state {
            ProbeState::Attached => (ProbeStateKind::Attached, None),
            ProbeState::Absent { why } => (ProbeStateKind::Absent, Some(why)),
            ProbeState::Failed { why } => (ProbeStateKind::Failed, Some(why)),
        };
        Self {
            name: (&*verdict.name).into(),
            state: Word(state),
            why: why.map(|why| why.as_str().into()),
        }
    }
}

impl<'a> From<&'a TaskId> for Task<'a> {
    fn from(task: &'a TaskId) -> Self {
        Self {
            pid: task.pid,
            tid: task.tid,
            comm: task.comm.as_deref().map(Into::into),
        }
    }
}

impl<'a> From<&'a Function> for Place<'a> {
    fn from(function: &'a Function) -> Self {
        match &function.name {
            Some(name) => Self::Named((&**name).into()),
            None => Self::Bare(function.address.unwrap_or_default()),
        }
    }
}

impl<'a> From<&'a event::Unlogged> for Unlogged<'a> {
    fn from(entry: &'a event::Unlogged) -> Self {
        Self {
            mono_ns: entry.at,
            duration_ns: entry.duration,
            cause: cause_record(&entry.cause, entry.cause_name.as_deref(), None, None),
            ip: entry.ip,
            at: entry.location.as_deref().map(Into::into),
            source: entry.source.as_deref().map(Into::into),
        }
    }
}

impl<'a> From<&'a remedy::Remedy> for Remedy<'a> {
    fn from(remedy: &'a remedy::Remedy) -> Self {
        let all = |texts: &'a [String]| texts.iter().map(|text| text.as_str().into()).collect();
        Self {
            id: RuleId::as_str(&remedy.id).into(),
            text: remedy.text.as_str().into(),
            run: all(&remedy.run),
            boot: all(&remedy.boot),
            verify: vec![remedy.verify.as_str().into()],
        }
    }
}
