//! A breach, as the log has it.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    few::{Few, MAX_FRAMES},
    field::{ActivityWord, CauseWord, EndWord, Hex, Rule, Text},
    numbers,
    origin::{JsonTask, ReadOrigin},
};
use crate::event::{
    ids::{Cpu, MonoNanos, Nanos, Pid, Seq},
    model::{Activity, ActivityItem, Breach, Cause, CauseDetail, Kin},
};

/// Activities, and origins, of a breach that are kept.
const MAX_ITEMS: usize = 256;

/// A breach.
#[derive(Debug, Deserialize)]
pub(super) struct JsonBreach {
    seq: u64,
    mono_ns: u64,
    cpu: u32,
    duration_ns: Option<u64>,
    #[serde(default)]
    idle_ns: u64,
    end: EndWord,
    section: Option<bool>,
    task: JsonTask,
    cause: ReadCause,
    ip: Hex,
    at: Option<Text>,
    source: Option<Text>,
    #[serde(default)]
    inlined: Few<Text, MAX_FRAMES>,
    #[serde(default)]
    activity: Few<ReadActivity, MAX_ITEMS>,
    #[serde(default)]
    activity_dropped: u8,
    origins: Few<ReadOrigin, MAX_ITEMS>,
    remedy: Option<Rule>,
}

impl From<JsonBreach> for Breach {
    fn from(raw: JsonBreach) -> Self {
        let Hex(ip) = raw.ip;
        let EndWord(end) = raw.end;
        let text = |text: Option<Text>| text.map(|Text(text)| text);
        Self {
            seq: Seq(raw.seq),
            at: MonoNanos(raw.mono_ns),
            cpu: Cpu(raw.cpu),
            duration: raw.duration_ns.map(Nanos),
            idle: Nanos(raw.idle_ns),
            end,
            section: raw.section,
            task: raw.task.into(),
            cause: raw.cause.detail,
            cause_name: text(raw.cause.name),
            cause_handler: text(raw.cause.handler),
            cause_net: raw.cause.net.map(Nanos),
            ip,
            location: text(raw.at),
            source: text(raw.source),
            inlined: raw
                .inlined
                .into_iter()
                .map(|Text(function)| function)
                .collect(),
            activities: raw
                .activity
                .into_iter()
                .map(|ReadActivity(item)| item)
                .collect(),
            dropped_activities: raw.activity_dropped,
            origins: raw
                .origins
                .into_iter()
                .map(|ReadOrigin(origin)| origin)
                .collect(),
            remedy: raw.remedy.map(|Rule(id)| id),
        }
    }
}

#[derive(Debug, Deserialize)]
struct JsonCause {
    kind: CauseWord,
    nr: Option<u32>,
    name: Option<Text>,
    args: Option<[Hex; 6]>,
    #[serde(default)]
    compat: bool,
    address: Option<Hex>,
    write: Option<bool>,
    user: Option<bool>,
    #[serde(default)]
    fetch: bool,
    #[serde(default)]
    protection: bool,
    trap: Option<u32>,
    irq: Option<u32>,
    handler: Option<Text>,
    net_ns: Option<u64>,
}

/// A cause with all that belongs to it.
#[derive(Debug)]
pub(super) struct ReadCause {
    pub(super) detail: CauseDetail,
    pub(super) name: Option<Text>,
    handler: Option<Text>,
    net: Option<u64>,
}

impl<'de> Deserialize<'de> for ReadCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = JsonCause::deserialize(deserializer)?;
        Ok(Self {
            detail: detail(&raw).map_err(D::Error::custom)?,
            name: raw.name,
            handler: raw.handler,
            net: raw.net_ns,
        })
    }
}

fn detail(raw: &JsonCause) -> Result<CauseDetail, String> {
    let CauseWord(cause) = raw.kind;
    let missing = |field: &str| format!("a {} has no '{field}'", cause.word());
    Ok(match cause {
        Cause::Syscall if raw.compat => CauseDetail::CompatSyscall {
            number: raw.nr.ok_or_else(|| missing("nr"))?,
        },
        Cause::Syscall => CauseDetail::Syscall {
            number: raw.nr,
            args: raw
                .args
                .as_ref()
                .map(|args| args.each_ref().map(|Hex(register)| register.0)),
        },
        Cause::PageFault => CauseDetail::PageFault {
            address: raw
                .address
                .as_ref()
                .map(|Hex(address)| *address)
                .ok_or_else(|| missing("address"))?,
            write: raw.write.ok_or_else(|| missing("write"))?,
            user: raw.user.ok_or_else(|| missing("user"))?,
            fetch: raw.fetch,
            protection: raw.protection,
        },
        Cause::Exception => CauseDetail::Exception { trap: raw.trap },
        Cause::DeviceIrq => CauseDetail::DeviceIrq {
            irq: raw.irq.ok_or_else(|| missing("irq"))?,
            handler: None,
        },
        Cause::Nmi => CauseDetail::Nmi { handler: None },
        other => CauseDetail::Plain(other),
    })
}

#[derive(Debug, Deserialize)]
struct JsonActivity {
    kind: ActivityWord,
    name: Option<Text>,
    net_ns: Option<u64>,
    irq: Option<u32>,
    tid: Option<u32>,
    comm: Option<Text>,
    pid: Option<u32>,
    #[serde(default)]
    worker: bool,
    parent: Option<JsonParent>,
    signal: Option<u32>,
    address: Option<Hex>,
    origin: Option<ReadOrigin>,
}

/// The process that made another.
#[derive(Debug, Deserialize)]
struct JsonParent {
    pid: u32,
    comm: Text,
}

/// One activity.
#[derive(Debug)]
struct ReadActivity(ActivityItem);

impl<'de> Deserialize<'de> for ReadActivity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = JsonActivity::deserialize(deserializer)?;
        activity(raw).map(Self).map_err(D::Error::custom)
    }
}

fn activity(raw: JsonActivity) -> Result<ActivityItem, String> {
    let ActivityWord(kind) = raw.kind;
    let name = raw.name.map(|Text(name)| name);
    let missing = |field: &str| format!("the activity '{}' has no '{field}'", kind.word());
    Ok(ActivityItem {
        kind,
        number: match kind {
            Activity::Irq => raw.irq.ok_or_else(|| missing("irq"))?,
            Activity::Switch => raw.tid.ok_or_else(|| missing("tid"))?,
            Activity::Signal => raw.signal.ok_or_else(|| missing("signal"))?,
            _ => numbers::of(kind, name.as_deref()),
        },
        address: raw.address.map(|Hex(address)| address),
        comm: raw.comm.map(|Text(comm)| comm),
        net: raw.net_ns.map(Nanos),
        name,
        kin: raw.pid.filter(|_| kind == Activity::Switch).map(|pid| Kin {
            pid: Pid(pid),
            worker: raw.worker,
            parent: raw.parent.map(
                |JsonParent {
                     pid,
                     comm: Text(comm),
                 }| (Pid(pid), comm),
            ),
        }),
        origin: raw.origin.map(|ReadOrigin(origin)| origin),
    })
}
