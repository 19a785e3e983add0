//! Records as events: what a log holds of them, with `None` for what it does not.
//!
//! That are addresses of functions that have names, keys by which senders were found, when a nested vector began.

mod summary;

use isol_trace_common::{activity, cause, send::Via};

use super::{
    model::{
        Activity, Back, Breach, Cause, Header, Kill, Lost, Moved, Origin, Probe, Sender, Task,
        Unlogged, Watched, WatchedCpu,
    },
    numbers,
    value::{Number, Place, Text},
    word::{OriginKind, ProbeStateKind, Raiser, Word},
};
use crate::{
    clock::Anchor,
    event::{
        ids::{Address, Cpu, RuleId},
        model::{
            self as event, ActivityItem, CauseDetail, Detection, Event, Function, KilledBy, Kin,
            ProbeState, ProbeVerdict, Signaller, TaskId, WatchedSet,
        },
        signal::Signal,
    },
};

/// Why a record, although its members are what they should be, is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

impl TryFrom<Header<'_>> for event::Header {
    type Error = Mismatch;

    fn try_from(record: Header<'_>) -> Result<Self, Mismatch> {
        let at = record.mono_ns;
        let no_time = || Mismatch("its 'time' is no time in UTC with nanoseconds".to_owned());
        Ok(Self {
            host: owned(record.host),
            kernel: owned(record.kernel),
            arch: owned(record.arch),
            no_hz_full: record.no_hz_full,
            cpus: record.cpus.into_iter().map(Into::into).collect(),
            blind_spots: words(record.blind_spots),
            housekeeping: record.housekeeping,
            probes: record.probes.into_iter().map(Into::into).collect(),
            at,
            anchor: Anchor::of_text(at, record.time.0.as_str()).ok_or_else(no_time)?,
        })
    }
}

impl From<Watched<'_>> for Event {
    fn from(record: Watched<'_>) -> Self {
        let changes = record.changes.into_iter();
        Self::Watched(WatchedSet {
            at: record.mono_ns,
            changes: changes.map(|one| (one.cpu, one.change.0)).collect(),
            cpus: record.cpus.into_iter().map(Into::into).collect(),
            blind_spots: words(record.blind_spots),
            housekeeping: record.housekeeping,
            probes: record.probes.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<Moved<'_>> for Event {
    fn from(record: Moved<'_>) -> Self {
        Self::Moved {
            task: record.task.into(),
            from: record.from,
            to: record.to,
            at: record.mono_ns,
        }
    }
}

impl From<Back> for Event {
    fn from(record: Back) -> Self {
        Self::Back {
            breach: record.breach,
            away: record.away_ns,
            at: record.mono_ns,
            tid: record.tid,
        }
    }
}

impl From<Lost> for Event {
    fn from(record: Lost) -> Self {
        Self::Lost {
            cpu: record.cpu,
            records: record.records.0,
            at: record.mono_ns,
        }
    }
}

impl TryFrom<Breach<'_>> for event::Breach {
    type Error = Mismatch;

    fn try_from(record: Breach<'_>) -> Result<Self, Mismatch> {
        let cause = detail(&record.cause)?;
        let activities = record.activity.into_iter().map(TryInto::try_into);
        let origins = record.origins.into_iter().map(TryInto::try_into);
        Ok(Self {
            seq: record.seq,
            at: record.mono_ns,
            cpu: record.cpu,
            duration: record.duration_ns,
            idle: record.idle_ns.unwrap_or_default(),
            end: record.end.0,
            section: record.section,
            task: record.task.into(),
            cause,
            cause_name: record.cause.name.map(Into::into),
            cause_handler: record.cause.handler.map(Into::into),
            cause_net: record.cause.net_ns,
            ip: record.ip,
            location: record.at.map(Into::into),
            source: record.source.map(Into::into),
            inlined: record.inlined.into_iter().map(Into::into).collect(),
            activities: activities.collect::<Result<_, _>>()?,
            dropped_activities: record.activity_dropped.unwrap_or_default(),
            origins: origins.collect::<Result<_, _>>()?,
            remedy: record
                .remedy
                .map(|name| rule(name.0.as_str()))
                .transpose()?,
        })
    }
}

fn rule(name: &str) -> Result<RuleId, Mismatch> {
    RuleId::new(name).ok_or_else(|| {
        Mismatch(format!(
            "'{name}' is not a rule's name that this version of isol-trace knows"
        ))
    })
}

fn detail(record: &Cause<'_>) -> Result<CauseDetail, Mismatch> {
    let Word(cause) = record.kind;
    let missing = |field: &str| Mismatch(format!("a {} has no '{field}'", cause.word()));
    let number = record.nr.map(|Number(number)| number);
    Ok(match cause {
        cause::Cause::Syscall if record.compat == Some(true) => CauseDetail::CompatSyscall {
            number: number.ok_or_else(|| missing("nr"))?,
        },
        cause::Cause::Syscall => CauseDetail::Syscall {
            number,
            args: record
                .args
                .map(|args| args.map(|Address(register)| register)),
        },
        cause::Cause::PageFault => CauseDetail::PageFault {
            address: record.address.ok_or_else(|| missing("address"))?,
            write: record.write.ok_or_else(|| missing("write"))?,
            user: record.user.ok_or_else(|| missing("user"))?,
            fetch: record.fetch.unwrap_or(false),
            protection: record.protection.unwrap_or(false),
        },
        cause::Cause::Exception => CauseDetail::Exception {
            trap: record.trap.map(|Number(trap)| trap),
        },
        cause::Cause::DeviceIrq => CauseDetail::DeviceIrq {
            irq: record.irq.ok_or_else(|| missing("irq"))?.0,
            handler: None,
        },
        cause::Cause::Nmi => CauseDetail::Nmi { handler: None },
        other => CauseDetail::Plain(other),
    })
}

impl TryFrom<Activity<'_>> for ActivityItem {
    type Error = Mismatch;

    fn try_from(record: Activity<'_>) -> Result<Self, Mismatch> {
        let Word(kind) = record.kind;
        let missing =
            |field: &str| Mismatch(format!("the activity '{}' has no '{field}'", kind.word()));
        let kin = record
            .pid
            .filter(|_| kind == activity::Activity::Switch)
            .map(|pid| Kin {
                pid,
                worker: record.worker.unwrap_or(false),
                parent: record.parent.map(|parent| (parent.pid, parent.comm.into())),
            });
        Ok(Self {
            kind,
            number: match kind {
                activity::Activity::Irq => record.irq.ok_or_else(|| missing("irq"))?.0,
                activity::Activity::Switch => record.tid.ok_or_else(|| missing("tid"))?.0,
                activity::Activity::Signal => record.signal.ok_or_else(|| missing("signal"))?.0,
                _ => numbers::of(kind, record.name.as_ref().map(Text::as_str)),
            },
            address: record.address,
            comm: record.comm.map(Into::into),
            net: record.net_ns,
            name: record.name.map(Into::into),
            kin,
            origin: record
                .origin
                .map(|origin| (*origin).try_into())
                .transpose()?,
        })
    }
}

impl TryFrom<Origin<'_>> for event::Origin {
    type Error = Mismatch;

    fn try_from(record: Origin<'_>) -> Result<Self, Mismatch> {
        Ok(match record.kind.0 {
            OriginKind::Task => Self::Task,
            OriginKind::Device => Self::Device,
            OriginKind::Unknown => Self::Unknown,
            OriginKind::Kernel if record.via.is_none() => Self::Kernel(None),
            OriginKind::Kernel => Self::Kernel(Some(Box::new(sender(record)?))),
            OriginKind::Remote => Self::Remote(Box::new(sender(record)?)),
            OriginKind::Tracer => Self::Tracer(Box::new(sender(record)?)),
        })
    }
}

fn sender(record: Origin<'_>) -> Result<event::Sender, Mismatch> {
    let missing = || Mismatch("an origin of another CPU has no 'via'".to_owned());
    let word = record.via.ok_or_else(missing)?;
    let no_via = || Mismatch(format!("'{}' is no way to reach a CPU", word.as_str()));
    Ok(event::Sender {
        via: via(word.as_str()).ok_or_else(no_via)?,
        at: record.mono_ns,
        cpu: record.cpu,
        task: record.tid.map(|tid| TaskId {
            pid: record.pid,
            tid,
            comm: record.comm.map(Into::into),
        }),
        callback: record.callback.map(Into::into),
        callsite: record.callsite.map(Into::into),
        stack: record.stack.into_iter().map(Into::into).collect(),
        user_stack: record.user_stack.into_iter().map(Into::into).collect(),
        inferred: record.inferred.unwrap_or(false),
    })
}

/// A cross-call is spelled as the interrupt that it arrived by.
fn via(word: &str) -> Option<Via> {
    Via::from_word(word).or_else(|| cause::Cause::from_word(word).map(|_| Via::CrossCall))
}

impl TryFrom<Kill<'_>> for event::Kill {
    type Error = Mismatch;

    fn try_from(record: Kill<'_>) -> Result<Self, Mismatch> {
        let Number(signal) = record.signal;
        let no_signal = || Mismatch(format!("{signal} is no number of a signal"));
        let unlogged = record.unlogged.into_iter().map(TryInto::try_into);
        Ok(Self {
            at: record.mono_ns,
            cpu: record.cpu,
            task: record.task.into(),
            of_command: record.of_command.unwrap_or(false),
            signal: Signal::new(signal).ok_or_else(no_signal)?,
            // A kill, unless it says otherwise.
            fatal: record.fatal.unwrap_or(true),
            by: killed_by(record.by.0, record.sender)?,
            code: record.code,
            breach: record.breach,
            history: record.history.into_iter().collect(),
            entry: record.entry.map(TryInto::try_into).transpose()?,
            unlogged: unlogged.collect::<Result<_, _>>()?,
            user_stack: record.user_stack.into_iter().map(Into::into).collect(),
        })
    }
}

fn killed_by(raiser: Raiser, sender: Option<Sender<'_>>) -> Result<KilledBy, Mismatch> {
    let missing = || Mismatch("a signal of another process has no 'sender'".to_owned());
    Ok(match raiser {
        Raiser::StrictMode => KilledBy::StrictMode,
        Raiser::Tracer => KilledBy::Tracer,
        Raiser::Task => KilledBy::Task,
        Raiser::Remote => KilledBy::Remote(sender.ok_or_else(missing)?.into()),
        Raiser::Kernel => KilledBy::Kernel,
        Raiser::Unknown => KilledBy::Unknown,
    })
}

impl From<Sender<'_>> for Signaller {
    fn from(record: Sender<'_>) -> Self {
        Self {
            cpu: record.cpu,
            task: TaskId {
                pid: record.pid,
                tid: record.tid,
                comm: record.comm.map(Into::into),
            },
        }
    }
}

impl TryFrom<Unlogged<'_>> for event::Unlogged {
    type Error = Mismatch;

    fn try_from(record: Unlogged<'_>) -> Result<Self, Mismatch> {
        Ok(Self {
            at: record.mono_ns,
            duration: record.duration_ns,
            cause: detail(&record.cause)?,
            cause_name: record.cause.name.map(Into::into),
            ip: record.ip,
            location: record.at.map(Into::into),
            source: record.source.map(Into::into),
        })
    }
}

impl From<Task<'_>> for TaskId {
    fn from(record: Task<'_>) -> Self {
        Self {
            pid: record.pid,
            tid: record.tid,
            comm: record.comm.map(Into::into),
        }
    }
}

impl From<Place<'_>> for Function {
    fn from(place: Place<'_>) -> Self {
        match place {
            Place::Named(name) => Self {
                address: None,
                name: Some(name.into()),
            },
            Place::Bare(address) => Self {
                address: Some(address),
                name: None,
            },
        }
    }
}

impl From<WatchedCpu> for (Cpu, Detection) {
    fn from(record: WatchedCpu) -> Self {
        (record.cpu, record.detection.0)
    }
}

impl From<Probe<'_>> for ProbeVerdict {
    fn from(record: Probe<'_>) -> Self {
        let why = record.why.map(owned).unwrap_or_default();
        Self {
            name: owned(record.name.0).into(),
            state: match record.state.0 {
                ProbeStateKind::Attached => ProbeState::Attached,
                ProbeStateKind::Absent => ProbeState::Absent { why },
                ProbeStateKind::Failed => ProbeState::Failed { why },
            },
        }
    }
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}

fn words(texts: Vec<Text<'_>>) -> Vec<std::borrow::Cow<'static, str>> {
    texts.into_iter().map(|text| owned(text).into()).collect()
}
